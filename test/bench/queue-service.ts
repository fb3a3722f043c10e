/** The service that the queue bench calls, and, run as a script, a worker of it: `queue-service.ts SETTINGS`. */
import { z } from "zod";
import { type ConsumerSettings, startConsumer } from "#shared/delivery/start-consumer.ts";
import { type Apis, api, implement, service } from "#shared/index.ts";
import { ServiceHost } from "#shared/service/host.ts";

export const Nothing = service("Nothing", {
  apis: { nothing: api({ input: z.strictObject({}), output: z.null() }) },
});

export class NothingImpl extends implement(Nothing) implements Apis<typeof Nothing> {
  nothing() {
    return null;
  }
}

if (import.meta.main) {
  const host = new ServiceHost(Nothing, new NothingImpl());
  await host.start();
  await startConsumer(host, JSON.parse(process.argv[2]!) as ConsumerSettings);
  process.once("disconnect", () => process.exit(0));
  process.send!("ready");
}
