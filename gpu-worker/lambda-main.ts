/** What the image of a GPU function runs. */
import { log } from "#shared/observability/log.ts";
import { refuseInvocations, serveInvocations } from "./lambda-runtime.ts";

process.env.TANDEM_EXECUTION_PROVIDER ||= "cuda";
const { AWS_LAMBDA_RUNTIME_API: api, AWS_LAMBDA_MAX_CONCURRENCY: concurrency = "1" } = process.env;
try {
  if (!api) throw new Error("AWS_LAMBDA_RUNTIME_API is not set: this image runs as a Lambda function");
  const { handler } = await import("./lambda.ts").catch(async (error: unknown) => {
    await refuseInvocations(error, api);
    throw error;
  });
  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  await serveInvocations(handler, { api, concurrency: Number(concurrency), signal: stop.signal });
  process.exit(0);
} catch (err) {
  log.fatal({ err }, (err as Error).message);
  process.exit(1);
}
