import { type Logger, pino } from "pino";

/** The process's logger: JSON lines on standard error, level from `TANDEM_LOG_LEVEL` (default info). */
export const log: Logger = pino(
  { level: process.env.TANDEM_LOG_LEVEL ?? "info", base: { pid: process.pid } },
  pino.destination({ dest: 2, sync: true }),
);
