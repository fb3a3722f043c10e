import { ServiceError } from "#shared/errors/service-error.ts";

/** Where the graphs run. */
export const EXECUTION_PROVIDERS = ["cpu", "cuda"] as const;
export type ExecutionProvider = (typeof EXECUTION_PROVIDERS)[number];

/**
 * `TANDEM_EXECUTION_PROVIDER`, default cpu.
 * @throws ServiceError INVALID_ARGUMENT for another word.
 */
export function executionProviderFromEnvironment(
  name: string = process.env.TANDEM_EXECUTION_PROVIDER ?? "cpu",
): ExecutionProvider {
  const found = EXECUTION_PROVIDERS.find((provider) => provider === name);
  if (found) return found;
  const known = EXECUTION_PROVIDERS.join(", ");
  throw new ServiceError("INVALID_ARGUMENT", `TANDEM_EXECUTION_PROVIDER must be one of ${known}, not ${name}`);
}
