import { appendFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { type Apis, api, type CallContext, type Input, implement, service } from "#shared/index.ts";

/** A GPU service without a GPU: a call takes the time it is told. */
export const Stub = service("Stub", {
  traffic: { timeout: 120, maxConcurrency: 16, concurrency: 2 },
  apis: {
    work: api({
      input: z.strictObject({
        /** Names the call. */
        n: z.int(),
        ms: z.number(),
        /** Kills the worker, as a driver's fault or the kernel's out-of-memory killer does. */
        dies: z.boolean().default(false),
      }),
      /** `drawn` is another one in each execution: it tells which of several gave a result. */
      output: z.strictObject({ n: z.int(), drawn: z.number() }),
    }),
  },
});

/** Each execution that comes to its end leaves a line with its call and its number in the file that FAULTS_LOG names. */
export default class StubImpl extends implement(Stub) implements Apis<typeof Stub> {
  async work({ n, ms, dies }: Input<typeof Stub, "work">, { signal }: CallContext) {
    if (dies) process.kill(process.pid, "SIGKILL");
    await delay(ms, undefined, { signal });
    const drawn = Math.random();
    if (process.env.FAULTS_LOG) appendFileSync(process.env.FAULTS_LOG, `${n} ${drawn}\n`);
    return { n, drawn };
  }
}
