import { type Logger, pino } from "pino";
import { errorForm } from "./log-error.ts";

/**
 * The process's logger: JSON lines on standard error, level from `TANDEM_LOG_LEVEL` (default info). At info and above,
 * nothing that a caller sent is written: no picture, no prompt, no key.
 */
export const log: Logger = pino(
  { level: process.env.TANDEM_LOG_LEVEL ?? "info", base: { pid: process.pid }, serializers: { err: errorForm } },
  pino.destination({ dest: 2, sync: true }),
);
