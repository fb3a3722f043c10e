import { passValue } from "../codec/frame.ts";
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
    const output = await this.#host.call(api, passValue(input), incoming);
    return call.service.apis[api]?.stream ? passItems(output as AsyncIterable<unknown>) : passValue(output);
  }

  async ready(): Promise<boolean> {
    return this.#host.ready();
  }

  async close(): Promise<void> {}
}

async function* passItems(items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  for await (const item of items) yield passValue(item);
}
