import { passValue } from "../codec/frame.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { ServiceHost } from "../service/host.ts";
import type { OutgoingCall, Transport } from "./transport.ts";

/** Calls a service in this process, through the codec's rules: nothing but what could travel gets across. */
export class LocalTransport implements Transport {
  readonly kind = "local";
  readonly #host: ServiceHost;

  constructor(host: ServiceHost) {
    this.#host = host;
  }

  async call(call: OutgoingCall): Promise<unknown> {
    const { service: _, api, input, ...incoming } = call;
    try {
      const output = await this.#host.call(api, passValue(input), incoming);
      return call.service.apis[api]?.stream ? passItems(call, output as AsyncIterable<unknown>) : passValue(output);
    } catch (error) {
      throw reported(error, call);
    }
  }

  async ready(): Promise<boolean> {
    return this.#host.ready();
  }

  async close(): Promise<void> {}
}

async function* passItems(call: OutgoingCall, items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    for await (const item of items) yield passValue(item);
  } catch (error) {
    throw reported(error, call);
  }
}

/** The callee's error, saying whose it is; the caller's own reason for an abort stays as it is. */
function reported(error: unknown, { service, signal }: OutgoingCall): ServiceError {
  const known = ServiceError.from(error);
  return known === signal?.reason ? known : known.raisedBy(service.name);
}
