import { z } from "zod";
import { createApp } from "#shared/http/app.ts";
import {
  type Apis,
  api,
  bytes,
  type CallContext,
  type ErrorCode,
  ImageValue,
  type Input,
  image,
  implement,
  NDArray,
  ndarray,
  ServiceError,
  service,
} from "#shared/index.ts";
import { startTelemetry } from "#shared/observability/telemetry.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";

const fields = z.strictObject({
  s: z.string(),
  n: z.number().default(1),
  flag: z.boolean().optional(),
  maybe: z.string().nullable().optional(),
  list: z.array(z.number()).default([]),
  words: z.array(z.string()).default([]),
  o: z.strictObject({ x: z.int().min(0) }).optional(),
  arr: ndarray("uint8", ["h", 2]).optional(),
});

/** Every kind of input and output, as BentoML's clients may meet them. */
export const Kinds = service("Kinds", {
  description: "Every kind",
  apis: {
    fields: api({ input: fields, output: z.unknown(), description: "Plain fields" }),
    files: api({
      input: z.strictObject({
        image: image(),
        images: z.array(image()).default([]),
        raw: bytes().optional(),
        k: z.int().default(1),
        o: z.strictObject({ x: z.int() }).optional(),
      }),
      output: z.unknown(),
    }),
    optional: api({ input: z.strictObject({ image: image().optional(), k: z.int().default(7) }), output: z.int() }),
    text: api({ input: z.strictObject({ s: z.string() }), output: z.string() }),
    picture: api({ input: z.strictObject({ format: z.enum(["png", "jpeg", "webp"]).optional() }), output: image() }),
    raw: api({ input: z.strictObject({}), output: bytes() }),
    nothing: api({ input: z.strictObject({}), output: z.null() }),
    array: api({ input: z.strictObject({ arr: ndarray("float32") }), output: ndarray("float32") }),
    big: api({ input: z.strictObject({}), output: z.unknown() }),
    objects: api({
      stream: true,
      input: z.strictObject({ n: z.int(), failAt: z.int().default(-1) }),
      output: z.object({ x: z.int(), tags: z.array(z.string()) }),
    }),
    texts: api({ stream: true, input: z.strictObject({ n: z.int().default(3) }), output: z.string() }),
    chunks: api({ stream: true, input: z.strictObject({}), output: bytes() }),
    fail: api({ input: z.strictObject({ code: z.string(), retryAfter: z.number().optional() }), output: z.null() }),
    crash: api({ input: z.strictObject({}), output: z.null() }),
    seen: api({ input: z.strictObject({}), output: z.unknown() }),
  },
});

class KindsImpl extends implement(Kinds) implements Apis<typeof Kinds> {
  fields(input: Input<typeof Kinds, "fields">): unknown {
    return input;
  }
  files({ image, images, raw, k, o }: Input<typeof Kinds, "files">): unknown {
    return { image: [...image.bytes], images: images.map(({ bytes }) => [...bytes]), raw: raw && [...raw], k, o };
  }
  optional({ image, k }: Input<typeof Kinds, "optional">): number {
    return image ? image.bytes.length : k;
  }
  text({ s }: Input<typeof Kinds, "text">): string {
    return s;
  }
  picture({ format }: Input<typeof Kinds, "picture">): ImageValue {
    return new ImageValue(Uint8Array.of(1, 2, 3), format);
  }
  raw(): Uint8Array {
    return Uint8Array.of(0, 255);
  }
  nothing(): null {
    return null;
  }
  array({ arr }: Input<typeof Kinds, "array">): NDArray<"float32"> {
    return arr;
  }
  big(): unknown {
    return {
      small: 5n,
      large: 2n ** 60n,
      longs: new NDArray("int64", [2], BigInt64Array.of(1n, 2n ** 60n)),
      flags: new NDArray("bool", [1, 2], Uint8Array.of(1, 0)),
      picture: new ImageValue(Uint8Array.of(1), "png"),
      bytes: Uint8Array.of(1),
      nan: Number.NaN,
      date: new Date(0),
    };
  }
  async *objects({ n, failAt }: Input<typeof Kinds, "objects">) {
    for (let x = 0; x < n; x++) {
      if (x === failAt) throw new ServiceError("CONFLICT", `no ${x}`);
      yield { x, tags: [] };
    }
  }
  async *texts({ n }: Input<typeof Kinds, "texts">) {
    for (let x = 0; x < n; x++) yield `text ${x}`;
  }
  async *chunks() {
    yield Uint8Array.of(1);
    yield Uint8Array.of(2, 3);
  }
  fail({ code, retryAfter }: Input<typeof Kinds, "fail">): null {
    throw new ServiceError(code as ErrorCode, "out of luck", retryAfter === undefined ? {} : { retryAfter });
  }
  crash(): null {
    throw new Error("hunter2");
  }
  seen(_: object, { accept, traceparent, callId, idempotencyKey }: CallContext): unknown {
    return { accept, traceparent, callId, idempotencyKey };
  }
}

/** The app of {@link Kinds}, without a server. */
export async function kindsApp(options: Parameters<typeof createApp>[2] = {}) {
  await startTelemetry(Kinds.name);
  const host = new ServiceHost(Kinds, new KindsImpl());
  await host.start();
  return { host, app: createApp(host, new Discovery([], {}), options) };
}
