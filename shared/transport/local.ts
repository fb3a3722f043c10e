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
    const { name, apis } = call.service;
    try {
      const output = await this.#host.call(api, passValue(input), incoming);
      return apis[api]?.stream ? passItems(name, output as AsyncIterable<unknown>) : passValue(output);
    } catch (error) {
      throw ServiceError.from(error).raisedBy(name);
    }
  }

  async ready(): Promise<boolean> {
    return this.#host.ready();
  }

  async close(): Promise<void> {}
}

async function* passItems(service: string, items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    for await (const item of items) yield passValue(item);
  } catch (error) {
    throw ServiceError.from(error).raisedBy(service);
  }
}
