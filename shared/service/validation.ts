import type { z } from "zod";
import { type ErrorDetail, ServiceError } from "../errors/service-error.ts";

/**
 * Checks an api's input and fills in defaults.
 * @throws ServiceError INVALID_ARGUMENT whose detail names every faulty field.
 */
export function parseInput(schema: z.ZodType, input: unknown): unknown {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const detail = detailOf(result.error);
  throw new ServiceError("INVALID_ARGUMENT", summary(detail), { detail });
}

/** Checks an implementation's output. @throws ServiceError INTERNAL: the fault is the service's. */
export function parseOutput(schema: z.ZodType, output: unknown, where: string): unknown {
  const result = schema.safeParse(output);
  if (result.success) return result.data;
  throw new ServiceError("INTERNAL", `${where} gave an output that its contract does not allow`, {
    cause: new Error(summary(detailOf(result.error))),
  });
}

function detailOf(error: z.ZodError): ErrorDetail[] {
  return error.issues.map((issue) => ({
    path: issue.path.map((part) => (typeof part === "number" ? part : String(part))),
    message: issue.message,
  }));
}

function summary(detail: ErrorDetail[]): string {
  const [first] = detail;
  if (!first) return "the input is invalid";
  const more = detail.length > 1 ? ` (and ${detail.length - 1} more)` : "";
  return `${first.path.length ? `${first.path.join(".")}: ` : ""}${first.message}${more}`;
}
