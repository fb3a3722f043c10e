import { BentomlTransport } from "./bentoml-client.ts";
import { HttpTransport, type HttpTransportOptions } from "./http-client.ts";
import { LambdaTransport } from "./lambda-client.ts";
import type { Location } from "./location.ts";
import { SqsTransport } from "./sqs-client.ts";
import type { Transport } from "./transport.ts";

/** A transport to a service that runs elsewhere. @param options what HTTP requests carry besides, and who signs them. */
export function transportTo(
  service: string,
  location: Location,
  options: Pick<HttpTransportOptions, "headers" | "sign"> = {},
): Transport {
  switch (location.transport) {
    case "sqs":
      return new SqsTransport(service, location);
    case "lambda":
      return new LambdaTransport(service, location);
    case "bentoml":
      if (options.sign) throw new TypeError("only calls of Tandem services can be signed");
      return new BentomlTransport(location.url, options.headers);
    case "http":
      return new HttpTransport(location.url, options);
  }
}
