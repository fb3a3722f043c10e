import * as z from "zod/mini";
import { $ZodString } from "zod/v4/core";
import { binaryOf } from "../codec/binary-field.ts";
import { IMAGE_FORMATS, ImageValue } from "../codec/image.ts";
import { jsonForm } from "../codec/json-form.ts";
import { codeOfStatus } from "../errors/codes.ts";
import { type ErrorDetail, ServiceError } from "../errors/service-error.ts";
import type { Api } from "../service/contract.ts";
import { parseOutput } from "../service/validation.ts";
import type { OutgoingCall, Transport } from "./transport.ts";

/**
 * Calls a service that BentoML serves, in the form of its own clients: JSON, or multipart with one part a field. Arrays
 * travel as nested lists. Retries nothing.
 */
export class BentomlTransport implements Transport {
  readonly kind = "bentoml";
  readonly #url: string;
  readonly #headers: Record<string, string>;

  /** @param headers sent with every request, for example `authorization`. */
  constructor(url: string, headers: Record<string, string> = {}) {
    this.#url = url.replace(/\/$/, "");
    this.#headers = headers;
  }

  async call(call: OutgoingCall): Promise<unknown> {
    const api = call.service.apis[call.api]!;
    const expiry = AbortSignal.timeout(Math.max(0, call.deadline - Date.now()));
    const signal = call.signal ? AbortSignal.any([call.signal, expiry]) : expiry;
    try {
      const response = await fetch(`${this.#url}/${call.api}`, {
        method: "POST",
        headers: { ...this.#headers, ...contentType(call.input), traceparent: call.traceparent },
        body: requestBody(call.input),
        signal,
      });
      if (!response.ok) throw await errorOf(call.service.name, response);
      if (api.stream) return streamed(call, api, response, expiry);
      return parseOutput(api.output, await output(api.output, response), `${call.service.name}.${call.api}`);
    } catch (error) {
      throw failure(call, error, expiry);
    }
  }

  async ready(signal: AbortSignal): Promise<boolean> {
    try {
      return (await fetch(`${this.#url}/readyz`, { headers: this.#headers, signal })).ok;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {}
}

function isFile(value: unknown): value is ImageValue | Uint8Array {
  return ImageValue.is(value) || value instanceof Uint8Array;
}

function hasFile(input: object): boolean {
  return Object.values(input).some((value) => isFile(value) || (Array.isArray(value) && value.some(isFile)));
}

/** `fetch` names the type of a form by itself, with its boundary. */
function contentType(input: unknown): Record<string, string> {
  return hasFile(input as object) ? {} : { "content-type": "application/json" };
}

function requestBody(input: unknown): FormData | string {
  if (!hasFile(input as object)) return JSON.stringify(jsonForm(input));
  const form = new FormData();
  for (const [name, value] of Object.entries(input as object)) {
    if (value === undefined) continue;
    const files = isFile(value) ? [value] : Array.isArray(value) && value.every(isFile) ? value : undefined;
    if (!files) form.append(name, JSON.stringify(jsonForm(value)));
    for (const file of files ?? []) {
      const bytes = (ImageValue.is(file) ? file.bytes : file) as Uint8Array<ArrayBuffer>;
      form.append(name, new Blob([bytes], { type: ImageValue.is(file) ? file.mediaType : "" }), name);
    }
  }
  return form;
}

async function output(schema: z.core.$ZodType, response: Response): Promise<unknown> {
  const kind = binaryOf(schema)?.kind;
  if (kind === "image") {
    const type = response.headers.get("content-type");
    const format = IMAGE_FORMATS.find((name) => type === `image/${name}`);
    return new ImageValue(new Uint8Array(await response.arrayBuffer()), format);
  }
  if (kind === "bytes") return new Uint8Array(await response.arrayBuffer());
  const text = await response.text();
  return schema instanceof $ZodString ? text : JSON.parse(text);
}

/** One item a chunk, which is all the framing that BentoML gives a stream. */
async function* streamed(
  call: OutgoingCall,
  api: Api,
  response: Response,
  expiry: AbortSignal,
): AsyncGenerator<unknown> {
  const text = new TextDecoder();
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      const kind = binaryOf(api.output)?.kind;
      const item =
        kind === "bytes" || kind === "image"
          ? chunk
          : api.output instanceof $ZodString
            ? text.decode(chunk, { stream: true })
            : JSON.parse(text.decode(chunk));
      yield parseOutput(api.output, item, `${call.service.name}.${call.api}`);
    }
  } catch (error) {
    throw failure(call, error, expiry);
  }
}

function failure(call: OutgoingCall, error: unknown, expiry: AbortSignal): ServiceError {
  const { name } = call.service;
  if (ServiceError.is(error)) return error;
  if (call.signal?.aborted)
    return ServiceError.is(call.signal.reason)
      ? call.signal.reason
      : new ServiceError("CANCELED", "the caller canceled the call");
  if (expiry.aborted) return new ServiceError("DEADLINE_EXCEEDED", `${name} did not answer before the deadline`);
  if (error instanceof SyntaxError)
    return new ServiceError("INTERNAL", `${name} gave no JSON where its contract needs it`, { cause: error });
  return new ServiceError("UNAVAILABLE", `${name} cannot be reached`, { service: name, cause: error, retryAfter: 1 });
}

const bentoError = z.looseObject({
  error: z.string(),
  detail: z.optional(z.array(z.looseObject({ loc: z.array(z.union([z.string(), z.number()])), msg: z.string() }))),
});

/** BentoML's error bodies: an object, or a list with one. */
async function errorOf(service: string, response: Response): Promise<ServiceError> {
  const text = await response.text();
  const code = codeOfStatus(response.status);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return new ServiceError(code, `${service} answered ${response.status}: ${text.slice(0, 200)}`, { service });
  }
  const parsed = bentoError.safeParse(Array.isArray(json) ? json[0] : json);
  const detail = parsed.data?.detail?.map(({ loc, msg }): ErrorDetail => ({ path: loc, message: msg }));
  return new ServiceError(code, parsed.data?.error ?? text.slice(0, 200), { service, ...(detail && { detail }) });
}
