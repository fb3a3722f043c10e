import { type $ZodError, type $ZodType, config, globalConfig, safeParse } from "zod/v4/core";
import en from "zod/v4/locales/en.js";
import { type ErrorDetail, ServiceError } from "../errors/service-error.ts";

// zod sets its language with its first schema; zod/mini has none and says no more than "Invalid input".
if (!globalConfig.localeError) {
  let english: ReturnType<typeof en>["localeError"] | undefined;
  config({
    localeError: (issue) => {
      english ??= en().localeError;
      return english(issue);
    },
  });
}

/**
 * Checks an api's input and fills in defaults.
 * @throws ServiceError INVALID_ARGUMENT whose detail names every faulty field.
 */
export function parseInput(schema: $ZodType, input: unknown): unknown {
  const result = safeParse(schema, input);
  if (result.success) return result.data;
  const detail = detailOf(result.error);
  throw new ServiceError("INVALID_ARGUMENT", summary(detail), { detail });
}

/** Checks an implementation's output. @throws ServiceError INTERNAL: the fault is the service's. */
export function parseOutput(schema: $ZodType, output: unknown, where: string): unknown {
  const result = safeParse(schema, output);
  if (result.success) return result.data;
  throw new ServiceError("INTERNAL", `${where} gave an output that its contract does not allow`, {
    cause: new Error(summary(detailOf(result.error))),
  });
}

function detailOf(error: $ZodError): ErrorDetail[] {
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
