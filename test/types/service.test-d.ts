/** Calls and classes that are wrong must not compile: each `@ts-expect-error` is an error itself where nothing is wrong. */
import { expectTypeOf, test } from "vitest";
import { z } from "zod";
import {
  type Apis,
  api,
  type CallContext,
  type Client,
  createClient,
  deployable,
  type ImageValue,
  type Input,
  type InputOf,
  image,
  implement,
  type NDArray,
  named,
  ndarray,
  type Output,
  service,
} from "#shared/index.ts";

const Model = service("Model", {
  apis: {
    predict: api({
      input: z.strictObject({ arr: ndarray("float32", [3]), scale: z.number().default(1) }),
      output: ndarray("int64"),
    }),
    tokens: api({ stream: true, input: z.strictObject({ text: z.string() }), output: z.string() }),
    embed: api({ batchable: { maxBatchSize: 8 }, input: z.strictObject({ text: z.string() }), output: z.number() }),
    draw: api({ input: z.strictObject({}), output: image() }),
  },
});
const Other = service("Other", { apis: { ping: api({ input: z.strictObject({}), output: z.null() }) } });
const Entry = service("Entry", {
  dependencies: [Model],
  apis: { run: api({ input: z.strictObject({ n: z.int() }), output: z.string() }) },
});

declare const model: Client<typeof Model>;
declare const floats: NDArray<"float32">;
declare const bytes: NDArray<"uint8">;

test("a call: arguments", () => {
  void model.predict({ arr: floats });
  void model.predict({ arr: floats, scale: 2 }, { timeout: 3, signal: new AbortController().signal });
  // @ts-expect-error: the dtype is float32
  void model.predict({ arr: bytes });
  // @ts-expect-error: nested lists are for JSON callers
  void model.predict({ arr: [1, 2, 3] });
  // @ts-expect-error: a field is missing
  void model.predict({ scale: 2 });
  // @ts-expect-error: a field is of the wrong type
  void model.predict({ arr: floats, scale: "2" });
  // @ts-expect-error: a field is unknown
  void model.predict({ arr: floats, scael: 2 });
  // @ts-expect-error: no input at all
  void model.predict();
  // @ts-expect-error: an unknown option
  void model.predict({ arr: floats }, { retries: 3 });
  // @ts-expect-error: an api that is not there
  void model.forecast({ arr: floats });
});

test("a call: results", () => {
  expectTypeOf(model.predict({ arr: floats })).toEqualTypeOf<Promise<NDArray<"int64">>>();
  expectTypeOf(model.tokens({ text: "" })).toEqualTypeOf<AsyncIterable<string>>();
  expectTypeOf(model.embed({ text: "" })).toEqualTypeOf<Promise<number>>();
  expectTypeOf(model.draw({})).toEqualTypeOf<Promise<ImageValue>>();
  expectTypeOf(createClient(Model, { url: "" }).predict).toEqualTypeOf<Client<typeof Model>["predict"]>();
  // @ts-expect-error: a stream is no promise
  void model.tokens({ text: "" }).then(() => undefined);
  // @ts-expect-error: a unary result is no stream
  void model.embed({ text: "" })[Symbol.asyncIterator];
});

test("what callers pass and what implementations receive differ by the defaults", () => {
  expectTypeOf<InputOf<typeof Model, "predict">>().toEqualTypeOf<{
    arr: NDArray<"float32">;
    scale?: number | undefined;
  }>();
  expectTypeOf<Input<typeof Model, "predict">>().toEqualTypeOf<{ arr: NDArray<"float32">; scale: number }>();
  expectTypeOf<Output<typeof Model, "tokens">>().toEqualTypeOf<string>();
});

test("an implementation's methods", () => {
  type Methods = Apis<typeof Model>;
  expectTypeOf<Methods["predict"]>().parameters.toEqualTypeOf<
    [{ arr: NDArray<"float32">; scale: number }, CallContext]
  >();
  expectTypeOf<Methods["predict"]>().returns.toEqualTypeOf<NDArray<"int64"> | Promise<NDArray<"int64">>>();
  expectTypeOf<Methods["embed"]>().parameters.toEqualTypeOf<[{ text: string }[], CallContext]>();
  expectTypeOf<Methods["embed"]>().returns.toEqualTypeOf<number[] | Promise<number[]>>();
  expectTypeOf<Methods["tokens"]>().returns.toEqualTypeOf<AsyncIterable<string>>();
});

test("depends() knows the contract's dependencies", () => {
  class EntryImpl extends implement(Entry) {
    model = this.depends(Model);
    // @ts-expect-error: Other is no dependency of Entry
    other = this.depends(Other);
  }
  expectTypeOf<EntryImpl["model"]>().toEqualTypeOf<Client<typeof Model>>();
  class LonelyImpl extends implement(Other) {
    // @ts-expect-error: Other has no dependencies
    model = this.depends(Model);
  }
  void LonelyImpl;
});

test("a renamed service keeps its types", () => {
  const Twin = named("Twin", Model);
  expectTypeOf(Twin.name).toEqualTypeOf<"Twin">();
  expectTypeOf<Client<typeof Twin>>().toEqualTypeOf<Client<typeof Model>>();
});

class Good extends implement(Entry) implements Apis<typeof Entry> {
  async run({ n }: Input<typeof Entry, "run">): Promise<string> {
    return String(n);
  }
}
class Lacking extends implement(Entry) {}
class WrongOutput extends implement(Entry) {
  run(): number {
    return 1;
  }
}
class WrongInput extends implement(Entry) {
  run({ n }: { n: string }): string {
    return n;
  }
}
class WrongHook extends Good {
  onStart(): number {
    return 1;
  }
}
class Unrelated {
  run(): string {
    return "";
  }
}

test("deployable() takes a class that implements the contract, and no other", () => {
  deployable(Entry, async () => ({ default: Good }));
  // @ts-expect-error: run is missing
  deployable(Entry, async () => ({ default: Lacking }));
  // @ts-expect-error: run gives a number
  deployable(Entry, async () => ({ default: WrongOutput }));
  // @ts-expect-error: run takes another input
  deployable(Entry, async () => ({ default: WrongInput }));
  // @ts-expect-error: a hook gives what nobody awaits
  deployable(Entry, async () => ({ default: WrongHook }));
  // @ts-expect-error: it does not extend implement(Entry)
  deployable(Entry, async () => ({ default: Unrelated }));
  // @ts-expect-error: an instance is no class
  deployable(Entry, async () => ({ default: new Good() }));
});

test("streaming and batchable methods have signatures of their own", () => {
  class Streamed extends implement(Model) implements Apis<typeof Model> {
    predict(): NDArray<"int64"> {
      throw new Error();
    }
    // @ts-expect-error: a streaming api's method gives an async iterable
    async tokens(): Promise<string> {
      return "";
    }
    // @ts-expect-error: a batchable api's method takes a list
    embed({ text }: { text: string }): number {
      return text.length;
    }
    // @ts-expect-error: the output is a picture
    draw(): string {
      return "";
    }
  }
  void Streamed;
});

test("contracts", () => {
  // @ts-expect-error: an api's input is an object of named arguments
  api({ input: z.string(), output: z.string() });
  // @ts-expect-error: an api cannot both stream and be batchable
  api({ input: z.object({}), output: z.string(), stream: true, batchable: {} });
  // @ts-expect-error: no such dtype
  ndarray("float8");
  // @ts-expect-error: a dependency is a service
  service("S", { apis: {}, dependencies: ["Model"] });
  expectTypeOf(Model.apis.tokens.stream).toEqualTypeOf<true>();
  expectTypeOf(Model.apis.predict.stream).toEqualTypeOf<false>();
});
