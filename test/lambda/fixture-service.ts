import { z } from "zod";
import {
  type Apis,
  api,
  bytes,
  type CallContext,
  deployable,
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

/** What comes to a function, and what goes. */
export const Door = service("Door", {
  traffic: { timeout: 60 },
  apis: {
    double: api({
      input: z.strictObject({
        arr: ndarray("float32", ["h", "w"]),
        more: z.array(z.strictObject({ arr: ndarray("int64").optional() })).default([]),
      }),
      output: z.object({ arr: ndarray("float32"), more: z.array(ndarray("int64")) }),
    }),
    picture: api({ input: z.strictObject({ image: image() }), output: image() }),
    plain: api({ input: z.strictObject({ value: z.unknown() }), output: z.unknown() }),
    raw: api({ input: z.strictObject({ length: z.int() }), output: bytes() }),
    measure: api({ input: z.strictObject({ raw: bytes() }), output: z.int() }),
    seen: api({ input: z.strictObject({}), output: z.record(z.string(), z.unknown()), idempotent: true }),
    fail: api({ input: z.strictObject({ code: z.string() }), output: z.null() }),
    wait: api({ input: z.strictObject({}), output: z.null() }),
    items: api({
      stream: true,
      input: z.strictObject({ n: z.number(), size: z.int().default(0), failAt: z.int().optional() }),
      output: z.object({ n: z.int(), raw: bytes() }),
    }),
  },
});

class DoorImpl extends implement(Door) implements Apis<typeof Door> {
  double({ arr, more }: Input<typeof Door, "double">) {
    const twice = new NDArray(
      "float32",
      arr.shape,
      arr.contiguous().data.map((x) => 2 * x) as Float32Array<ArrayBuffer>,
    );
    return { arr: twice, more: more.flatMap((one) => (one.arr ? [one.arr] : [])) };
  }
  picture({ image }: Input<typeof Door, "picture">): ImageValue {
    return new ImageValue(image.bytes, "webp");
  }
  plain({ value }: Input<typeof Door, "plain">): unknown {
    return value;
  }
  raw({ length }: Input<typeof Door, "raw">): Uint8Array {
    return patternOf(length);
  }
  measure({ raw }: Input<typeof Door, "measure">): number {
    return raw.length;
  }
  seen(_: object, { deadline, callId, traceparent, idempotencyKey, accept }: CallContext) {
    return { left: deadline - Date.now(), callId, traceparent, idempotencyKey, accept };
  }
  fail({ code }: Input<typeof Door, "fail">): null {
    throw new ServiceError(code as ErrorCode, "out of luck", { retryAfter: 7 });
  }
  wait(_: object, { signal }: CallContext): Promise<null> {
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }
  async *items({ n, size, failAt }: Input<typeof Door, "items">) {
    for (let i = 0; i < n; i++) {
      if (i === failAt) throw new Error("lost");
      yield { n: i, raw: new Uint8Array(size) };
    }
  }
}

/** Bytes that tell a lost or moved one. */
export function patternOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);
}

export const door = deployable(Door, async () => ({ default: DoorImpl }));
