import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export interface CollectedSpan {
  /** Attributes of the process that sent it. */
  readonly resource: Record<string, unknown>;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of a trace. */
  readonly parentId: string;
  readonly name: string;
  /** As OTLP numbers them: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  /** Nanoseconds since the epoch. */
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Record<string, unknown>;
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number;
}

export interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: CollectedSpan[];
  readonly requests: { readonly url: string | undefined; readonly body: Buffer }[];
}

/** What an OTLP collector does with traces over HTTP: takes them, and says so. */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const requests: Collector["requests"] = [];
  const server = http.createServer(async (request, response) => {
    const body = await buffer(request);
    requests.push({ url: request.url, body });
    for (const resourceSpans of messages(fieldsOf(body), 1)) {
      const resource = messages(resourceSpans, 1).map((one) => attributesOf(one, 1))[0] ?? {};
      for (const scope of messages(resourceSpans, 2))
        spans.push(...messages(scope, 2).map((span) => ({ resource, ...spanOf(span) })));
    }
    response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Spans by their names, and what they are below: `parent > child > ...`. */
export function paths(spans: readonly CollectedSpan[]): string[] {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  const kinds = ["", "", "server", "client", "producer", "consumer"];
  const pathOf = ({ name, kind, parentId }: CollectedSpan): string => {
    const above = byId.get(parentId);
    const own = kinds[kind] ? `${name} (${kinds[kind]})` : name;
    if (above) return `${pathOf(above)} > ${own}`;
    return parentId === "" ? own : `? > ${own}`;
  };
  return spans.map(pathOf);
}

/** A protobuf message: each field's values in order, of varints and fixed numbers as integers. */
type Fields = Map<number, (bigint | Uint8Array)[]>;

/** Reads protobuf's wire format (https://protobuf.dev/programming-guides/encoding/). */
function fieldsOf(bytes: Uint8Array): Fields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const value = (wire: number): bigint | Uint8Array => {
    if (wire === 0) return varint();
    const length = wire === 2 ? Number(varint()) : wire === 1 ? 8 : 4;
    at += length;
    if (wire === 2) return bytes.subarray(at - length, at);
    return wire === 1 ? view.getBigUint64(at - 8, true) : BigInt(view.getUint32(at - 4, true));
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = tag >> 3;
    fields.set(field, [...(fields.get(field) ?? []), value(tag & 7)]);
  }
  return fields;
}

function messages(fields: Fields, field: number): Fields[] {
  return (fields.get(field) ?? []).map((bytes) => fieldsOf(bytes as Uint8Array));
}

function text(fields: Fields, field: number, encoding: BufferEncoding = "utf8"): string {
  return Buffer.from((fields.get(field)?.[0] ?? []) as Uint8Array).toString(encoding);
}

/** Field numbers of opentelemetry/proto/trace/v1/trace.proto. */
function spanOf(span: Fields): Omit<CollectedSpan, "resource"> {
  const number = (field: number): bigint => (span.get(field)?.[0] ?? 0n) as bigint;
  return {
    traceId: text(span, 1, "hex"),
    spanId: text(span, 2, "hex"),
    parentId: text(span, 4, "hex"),
    name: text(span, 5),
    kind: Number(number(6)),
    start: number(7),
    end: number(8),
    attributes: attributesOf(span, 9),
    status: Number((messages(span, 15)[0]?.get(3)?.[0] ?? 0n) as bigint),
  };
}

/** Strings and integers; others are undefined. */
function attributesOf(owner: Fields, field: number): Record<string, unknown> {
  return Object.fromEntries(
    messages(owner, field).map((pair) => {
      const value = messages(pair, 2)[0];
      const integer = value?.get(3)?.[0];
      return [text(pair, 1), value?.has(1) ? text(value, 1) : integer === undefined ? undefined : Number(integer)];
    }),
  );
}
