import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { type Apis, api, type Input, implement, service } from "#shared/index.ts";

const input = z.object({ log: z.string() });

/** Its first call kills it. Each execution leaves a byte in the log. */
export const Mortal = service("Mortal", {
  apis: {
    once: api({ input, output: z.string() }),
    again: api({ input, output: z.string(), idempotent: true }),
    /** Dies every time. */
    never: api({ input, output: z.string(), idempotent: true }),
    /** Dies after two items. */
    stream: api({ stream: true, input, output: z.int() }),
  },
});

export class MortalImpl extends implement(Mortal) implements Apis<typeof Mortal> {
  once({ log }: Input<typeof Mortal, "once">): string {
    appendFileSync(log, "x");
    if (existsSync(`${log}.died`)) return "alive";
    writeFileSync(`${log}.died`, "");
    return die();
  }

  again(input: Input<typeof Mortal, "again">): string {
    return this.once(input);
  }

  never({ log }: Input<typeof Mortal, "never">): string {
    appendFileSync(log, "x");
    return die();
  }

  async *stream(): AsyncGenerator<number> {
    yield 1;
    yield 2;
    // So that the items leave before the process does.
    await delay(250);
    die();
  }
}

/** As `kill -9` does it. */
function die(): never {
  process.kill(process.pid, "SIGKILL");
  throw new Error("unreachable");
}
