import { z } from "zod";
import {
  type Apis,
  api,
  type CallContext,
  deployable,
  type ErrorCode,
  type Input,
  implement,
  type Lifecycle,
  NDArray,
  named,
  ndarray,
  ServiceError,
  service,
} from "#shared/index.ts";
import { Event, gateOf } from "./gate.ts";

/** Every kind of api, with nothing behind it. */
export const Leaf = service("Leaf", {
  apis: {
    echo: api({ input: z.object({ value: z.unknown() }), output: z.unknown() }),
    mask: api({
      input: z.object({ mask: ndarray("uint8", ["h", "w", 3], { wire: "bilevel" }) }),
      output: ndarray("uint8", ["h", "w", 3], { wire: "bilevel" }),
    }),
    checked: api({
      input: z.strictObject({
        list: z.array(z.strictObject({ n: z.int().min(0) })),
        arr: ndarray("float32", [2]).optional(),
        scale: z.number().default(3),
      }),
      output: z.number(),
    }),
    fail: api({
      input: z.object({ code: z.string(), message: z.string(), retryAfter: z.number().optional() }),
      output: z.null(),
    }),
    crash: api({ input: z.object({ secret: z.string() }), output: z.null() }),
    lie: api({ input: z.object({}), output: z.number() }),
    hold: api({ input: z.object({ gate: z.string(), stubborn: z.boolean().default(false) }), output: z.string() }),
    count: api({
      stream: true,
      input: z.object({
        to: z.int(),
        failAt: z.int().optional(),
        gate: z.string().optional(),
        stubborn: z.boolean().default(false),
      }),
      output: z.object({ n: z.int(), arr: ndarray("int64") }),
    }),
    report: api({ input: z.object({ gates: z.array(z.string()) }), output: z.string() }),
    square: api({
      batchable: { maxBatchSize: 16, maxLatencyMs: 10_000 },
      input: z.object({ x: z.number() }),
      output: z.number(),
    }),
    remember: api({ input: z.object({ word: z.string() }), output: z.array(z.string()) }),
  },
});

class LeafImpl extends implement(Leaf) implements Apis<typeof Leaf> {
  readonly #words: string[] = [];

  echo({ value }: Input<typeof Leaf, "echo">): unknown {
    return value;
  }

  mask({ mask }: Input<typeof Leaf, "mask">): NDArray<"uint8"> {
    return mask;
  }

  checked({ list, scale }: Input<typeof Leaf, "checked">): number {
    return list.reduce((sum, { n }) => sum + n, 0) * scale;
  }

  fail({ code, message, retryAfter }: Input<typeof Leaf, "fail">): null {
    throw new ServiceError(code as ErrorCode, message, {
      detail: [{ path: ["deep", 1], message: "why" }],
      ...(retryAfter !== undefined && { retryAfter }),
    });
  }

  crash({ secret }: Input<typeof Leaf, "crash">): null {
    throw new RangeError(secret);
  }

  lie(): number {
    return "no number" as unknown as number;
  }

  async hold({ gate, stubborn }: Input<typeof Leaf, "hold">, { signal }: CallContext): Promise<string> {
    await gateOf(gate).pass(signal, stubborn);
    return "held";
  }

  async *count({ to, failAt, gate, stubborn }: Input<typeof Leaf, "count">, { signal, progress }: CallContext) {
    try {
      for (let n = 0; n < to; n++) {
        if (n === failAt) throw new ServiceError("CONFLICT", `no ${n}`);
        if (n > 0 && gate) await gateOf(gate).pass(signal, stubborn);
        yield { n, arr: new NDArray("int64", [2], BigInt64Array.of(BigInt(n), -1n)) };
        progress((n + 1) / to);
      }
    } finally {
      if (gate) gateOf(gate).stopped.happen();
    }
  }

  async report({ gates }: Input<typeof Leaf, "report">, { progress, signal }: CallContext): Promise<string> {
    for (const [i, gate] of gates.entries()) {
      progress((i + 1) / gates.length, Uint8Array.of(i));
      await gateOf(gate).pass(signal);
    }
    return "reported";
  }

  square(inputs: Input<typeof Leaf, "square">[]): number[] {
    return inputs.map(({ x }) => x * x);
  }

  remember({ word }: Input<typeof Leaf, "remember">): string[] {
    this.#words.push(word);
    return this.#words;
  }
}

/** The same class under another name. */
export const Twin = named("Twin", Leaf);
/** One call at a time. */
export const Narrow = named("Narrow", Leaf, { traffic: { maxConcurrency: 1 } });
/** Little patience. */
export const Hasty = named("Hasty", Leaf, { traffic: { timeout: 0.2, maxConcurrency: 1 } });

/** What a service in a chain knew of a call. */
const hop = z.object({
  service: z.string(),
  callId: z.string(),
  traceparent: z.string(),
  /** Milliseconds left. */
  left: z.number(),
  accept: z.string().nullable(),
  idempotencyKey: z.string().nullable(),
  visits: z.int(),
});
export type Hop = z.infer<typeof hop>;

const hops = {
  hop: api({
    input: z.object({
      /** What each service passes on beside the input. */
      pass: z.enum(["context", "nothing"]).default("context"),
      /** Holds the last service. */
      gate: z.string().optional(),
      /** The last service reports progress. */
      progress: z.boolean().default(false),
      /** The last service fails. */
      fail: z.boolean().default(false),
    }),
    output: z.array(hop),
    idempotent: true,
  }),
};
export const D = service("D", { apis: hops });
export const C = service("C", { apis: hops, dependencies: [D] });
export const B = service("B", { apis: hops, dependencies: [C] });
export const A = service("A", { apis: hops, dependencies: [B] });
export const Left = service("Left", { apis: hops, dependencies: [D] });
export const Right = service("Right", { apis: hops, dependencies: [D] });
export const Top = service("Top", { apis: hops, dependencies: [Left, Right] });

type Next = { hop(input: Input<typeof D, "hop">, context?: CallContext): Promise<Hop[]> };

/** One service's visits, over the calls it got. */
class Visits {
  #count = 0;

  async work(name: string, next: Next[], input: Input<typeof D, "hop">, context: CallContext): Promise<Hop[]> {
    const { callId, traceparent, deadline, accept, idempotencyKey, signal, progress } = context;
    const own: Hop = {
      service: name,
      callId,
      traceparent,
      left: deadline - Date.now(),
      accept: accept ?? null,
      idempotencyKey: idempotencyKey ?? null,
      visits: ++this.#count,
    };
    visitsOf.set(name, this.#count);
    if (next.length === 0) {
      if (input.fail) throw new ServiceError("UNAVAILABLE", "out of order");
      if (input.progress) progress(0.5);
      if (input.gate) await gateOf(input.gate).pass(signal);
    }
    const behind = await Promise.all(next.map((one) => one.hop(input, input.pass === "context" ? context : undefined)));
    return [own, ...behind.flat()];
  }
}

/** How often each service of the newest deployment was called, failures included. */
export const visitsOf = new Map<string, number>();

class DImpl extends implement(D) implements Apis<typeof D> {
  readonly #visits = new Visits();
  hop = (input: Input<typeof D, "hop">, context: CallContext) => this.#visits.work("D", [], input, context);
}
class CImpl extends implement(C) implements Apis<typeof C> {
  readonly #visits = new Visits();
  readonly #next = [this.depends(D)];
  hop = (input: Input<typeof D, "hop">, context: CallContext) => this.#visits.work("C", this.#next, input, context);
}
class BImpl extends implement(B) implements Apis<typeof B> {
  readonly #visits = new Visits();
  readonly #next = [this.depends(C)];
  hop = (input: Input<typeof D, "hop">, context: CallContext) => this.#visits.work("B", this.#next, input, context);
}
class AImpl extends implement(A) implements Apis<typeof A> {
  readonly #visits = new Visits();
  readonly #next = [this.depends(B)];
  hop = (input: Input<typeof D, "hop">, context: CallContext) => this.#visits.work("A", this.#next, input, context);
}
class LeftImpl extends implement(Left) implements Apis<typeof Left> {
  readonly #visits = new Visits();
  readonly #next = [this.depends(D)];
  hop = (input: Input<typeof D, "hop">, context: CallContext) => this.#visits.work("Left", this.#next, input, context);
}
class RightImpl extends implement(Right) implements Apis<typeof Right> {
  readonly #visits = new Visits();
  readonly #next = [this.depends(D)];
  hop = (input: Input<typeof D, "hop">, context: CallContext) => this.#visits.work("Right", this.#next, input, context);
}
class TopImpl extends implement(Top) implements Apis<typeof Top> {
  readonly #visits = new Visits();
  readonly #next = [this.depends(Left), this.depends(Right)];
  hop = (input: Input<typeof D, "hop">, context: CallContext) => this.#visits.work("Top", this.#next, input, context);
}

/** Says when its hooks run, and is ready when told so. */
export const Phased = service("Phased", {
  apis: { hold: api({ input: z.object({ gate: z.string() }), output: z.string() }) },
});
export const phases = { seen: [] as string[], ready: true, loaded: new Event() };

class PhasedImpl extends implement(Phased) implements Apis<typeof Phased>, Lifecycle {
  constructor() {
    super();
    phases.seen = ["constructor"];
    phases.ready = true;
  }

  async onStart(): Promise<void> {
    await Promise.resolve();
    phases.seen.push("onStart");
  }

  isReady(): boolean {
    return phases.ready;
  }

  onStop(): void {
    phases.seen.push("onStop");
  }

  async hold({ gate }: Input<typeof Phased, "hold">, { signal }: CallContext): Promise<string> {
    phases.seen.push("call");
    await gateOf(gate).pass(signal);
    phases.seen.push("answer");
    return "held";
  }
}

/** Every service of the suite; a dependency stands before its callers. */
export const deployables = [
  deployable(Leaf, async () => ({ default: LeafImpl })),
  deployable(Twin, async () => ({ default: LeafImpl })),
  deployable(Narrow, async () => ({ default: LeafImpl })),
  deployable(Hasty, async () => ({ default: LeafImpl })),
  deployable(Phased, async () => ({ default: PhasedImpl })),
  deployable(D, async () => ({ default: DImpl })),
  deployable(C, async () => ({ default: CImpl })),
  deployable(B, async () => ({ default: BImpl })),
  deployable(A, async () => ({ default: AImpl })),
  deployable(Left, async () => ({ default: LeftImpl })),
  deployable(Right, async () => ({ default: RightImpl })),
  deployable(Top, async () => ({ default: TopImpl })),
];
