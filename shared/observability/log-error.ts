import { loadPino } from "./load-pino.ts";

/** Members of errors of Node's, AWS's and ours that tell what happened and never what was sent. */
const TELLING = ["code", "errno", "syscall", "address", "port", "service", "$metadata"];

/**
 * An error as the log has it: type, message and stack with those of its causes, and a few known members. Others may hold
 * what a caller sent: a request with its prompt, a picture's bytes.
 */
export function errorForm(error: unknown): unknown {
  if (!(error instanceof Error)) return { type: typeof error };
  const { type, message, stack } = loadPino().stdSerializers.err(error);
  const members = Object.entries(error).filter(([name, value]) => TELLING.includes(name) && value !== undefined);
  const { errors } = error as AggregateError;
  return {
    type,
    message,
    stack,
    ...Object.fromEntries(members),
    ...(Array.isArray(errors) && { errors: errors.map(errorForm) }),
  };
}
