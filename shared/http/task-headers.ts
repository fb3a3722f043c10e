/** Request headers of a submission; `idempotency-key` and those of every call hold besides. */
export const TASK_HEADERS = {
  /** URL that is told when the task has ended. */
  callback: "tandem-callback",
  /** `high` or `normal`. */
  priority: "tandem-priority",
  /** Seconds until which its work must have begun. */
  maxQueueTime: "tandem-max-queue-time",
} as const;
