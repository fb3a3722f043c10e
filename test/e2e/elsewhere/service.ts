/** A project whose dependency runs elsewhere: at `CALLEE_URL` by `depends()`, or where TANDEM_SERVICES says. */
import { z } from "zod";
import { type Apis, api, deployable, implement, service } from "#shared/index.ts";

const Callee = service("ControlNet", {
  apis: { edges: api({ input: z.strictObject({ image: z.string() }), output: z.unknown() }) },
});
const caller = service("Caller", {
  dependencies: [Callee],
  apis: { ask: api({ input: z.strictObject({}), output: z.string() }) },
});

class CallerImpl extends implement(caller) implements Apis<typeof caller> {
  readonly callee = this.depends(Callee, process.env.CALLEE_URL ? { url: process.env.CALLEE_URL } : {});

  /** The code that the callee refuses an unreadable picture with. */
  async ask(): Promise<string> {
    const refusal: unknown = await this.callee.edges({ image: "" }).catch((error: unknown) => error);
    return (refusal as { code: string }).code;
  }
}

export const Caller = deployable(caller, async () => ({ default: CallerImpl }));
