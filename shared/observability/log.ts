import type { Logger } from "pino";
import { loadPino } from "./load-pino.ts";
import { errorForm } from "./log-error.ts";

let made: Logger | undefined;

function logger(): Logger {
  if (made) return made;
  const { pino } = loadPino();
  made = pino(
    { level: process.env.TANDEM_LOG_LEVEL ?? "info", base: { pid: process.pid }, serializers: { err: errorForm } },
    pino.destination({ dest: 2, sync: true }),
  );
  return made;
}

/**
 * The process's logger: JSON lines on standard error, level from `TANDEM_LOG_LEVEL` (default info). At info and above,
 * nothing that a caller sent is written: no picture, no prompt, no key. It is made when it is first used.
 */
export const log: Logger = new Proxy({} as Logger, {
  get: (_, name) => {
    const member: unknown = Reflect.get(logger(), name);
    return typeof member === "function" ? member.bind(logger()) : member;
  },
  set: (_, name, value) => Reflect.set(logger(), name, value),
});
