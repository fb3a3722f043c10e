import type { z } from "zod";
import { ServiceError } from "../errors/service-error.ts";
import { beginCall, type Span } from "../observability/spans.ts";
import type { OutgoingCall, Transport } from "../transport/transport.ts";
import { type CallContext, type CallOptions, currentContext } from "./context.ts";
import type { Api, Service } from "./contract.ts";
import { parseInput } from "./validation.ts";

type ClientMethod<A extends Api> = (
  input: z.input<A["input"]>,
  options?: CallOptions | CallContext,
) => A["stream"] extends true ? AsyncIterable<z.output<A["output"]>> : Promise<z.output<A["output"]>>;

/** A service as its callers see it: one typed method an api. Streaming apis give an async iterable. */
export type Client<S extends Service> = { readonly [K in keyof S["apis"]]: ClientMethod<S["apis"][K]> };

/** Seconds that a callee may be late with its own timeout before its caller stops waiting for it. */
const GRACE = 2;

/** A client over a transport that is found at the first call. */
export function clientOf<S extends Service>(service: S, transport: () => Promise<Transport>): Client<S> {
  let found: Promise<Transport> | undefined;
  const connect = async (): Promise<Transport> => {
    found ??= transport();
    try {
      return await found;
    } catch (error) {
      found = undefined;
      throw error;
    }
  };
  const methods = Object.entries(service.apis).map(([name, api]) => {
    const start = (input: unknown, options: CallOptions | CallContext = {}): { call: OutgoingCall; span: Span } => {
      const checked = checkedInput(service, name, api, input);
      const { parent, ...given } = outgoing(service, options);
      const span = beginCall("client", service.name, name, given.callId, parent);
      return { call: { service, api: name, input: checked, ...given, traceparent: span.traceparent }, span };
    };
    const unary = async (input: unknown, options?: CallOptions | CallContext): Promise<unknown> => {
      const { call, span } = start(input, options);
      try {
        const output = await (await connect()).call(call);
        span.end();
        return output;
      } catch (error) {
        span.end(error);
        throw error;
      }
    };
    async function* stream(input: unknown, options?: CallOptions | CallContext): AsyncGenerator<unknown> {
      const { call, span } = start(input, options);
      let failure: unknown;
      try {
        yield* (await (await connect()).call(call)) as AsyncIterable<unknown>;
      } catch (error) {
        failure = error;
        throw error;
      } finally {
        span.end(failure);
      }
    }
    return [name, api.stream ? stream : unary] as const;
  });
  return Object.freeze(Object.fromEntries(methods)) as Client<S>;
}

function checkedInput(service: Service, name: string, api: Api, input: unknown): unknown {
  try {
    return parseInput(api.input, input);
  } catch (error) {
    // Inside a service a wrong argument is that service's own fault: its caller cannot mend it.
    if (!(ServiceError.is(error) && currentContext())) throw error;
    const where = error.detail?.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
    throw new ServiceError("INTERNAL", `${service.name}.${name} was called with a wrong input: ${where}`, {
      cause: error,
    });
  }
}

function outgoing(
  service: Service,
  options: CallOptions | CallContext,
): Omit<OutgoingCall, "service" | "api" | "input" | "traceparent"> & { parent: string | undefined } {
  const inherited = currentContext();
  const deadlines = [Date.now() + (service.traffic.timeout + GRACE) * 1000];
  if (inherited) deadlines.push(inherited.deadline);
  if ("deadline" in options) deadlines.push(options.deadline);
  // A context may carry one too: `{ ...ctx, timeout: 5 }`.
  if ("timeout" in options && options.timeout !== undefined) deadlines.push(Date.now() + options.timeout * 1000);
  const signals = [inherited?.signal, options.signal].filter((signal) => signal !== undefined);
  const listened = "listened" in options ? options.listened : options.progress !== undefined;
  const progress = listened
    ? options.progress
    : inherited?.listened && !options.progress
      ? inherited.progress
      : undefined;
  const parent = "traceparent" in options ? options.traceparent : inherited?.traceparent;
  return {
    deadline: Math.min(...deadlines),
    signal: signals.length > 1 ? AbortSignal.any(signals) : signals[0],
    callId: options.callId ?? inherited?.callId ?? crypto.randomUUID(),
    parent,
    // A context's key belongs to the call being worked on; several calls made for it must not share it.
    idempotencyKey: "deadline" in options ? undefined : options.idempotencyKey,
    accept: options.accept ?? inherited?.accept,
    priority: "priority" in options ? options.priority : undefined,
    startBy:
      "maxQueueTime" in options && options.maxQueueTime !== undefined
        ? Date.now() + options.maxQueueTime * 1000
        : undefined,
    progress,
  };
}
