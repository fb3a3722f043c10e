import { randomUUID } from "node:crypto";
import type { LambdaContext } from "#shared/lambda/lambda-context.ts";

/** What Lambda would tell a handler whose function ends so many milliseconds from now. */
export function lambdaContext(remainingMs = 30_000): LambdaContext {
  const end = Date.now() + remainingMs;
  return { awsRequestId: randomUUID(), getRemainingTimeInMillis: () => end - Date.now() };
}
