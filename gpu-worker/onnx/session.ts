import { basename, dirname, join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { ServiceError } from "#shared/errors/service-error.ts";
import { missingProvider } from "./execution-provider.ts";
import { outOfMemory } from "./out-of-memory.ts";
import { type SessionOptions, sessionOptions } from "./session-options.ts";

export type { SessionOptions } from "./session-options.ts";

const ARRAYS = { float32: Float32Array, float16: Float16Array, int64: BigInt64Array, int32: Int32Array } as const;

/** Element types that the pipeline's graphs take and give. */
export type GraphDType = keyof typeof ARRAYS;
export type GraphFloats = Float32Array | Float16Array;
export type GraphData = GraphFloats | BigInt64Array | Int32Array;

/** Name, element types and number of dimensions that a graph must have; `rank` lists what the caller can feed. */
export interface PortSpec {
  dtypes: readonly GraphDType[];
  rank: readonly number[];
}
export interface GraphSpec {
  inputs: Record<string, PortSpec>;
  outputs: Record<string, PortSpec>;
  /** What further inputs and outputs are, where a graph may have some; it need not have all `inputs` then. */
  others?: PortSpec;
}

/** One input or output as the graph declares it; dimensions that vary are strings. */
export interface Port {
  dtype: GraphDType;
  shape: readonly (number | string)[];
}

const SMALLER = "ask for a smaller picture or fewer of them, or let fewer calls run at once (max_concurrency)";

function allocate(dtype: GraphDType, shape: readonly number[]): GraphData {
  const size = shape.reduce((a, b) => a * b, 1);
  try {
    return new ARRAYS[dtype](size);
  } catch (error) {
    throw outOfMemory(error, `for a tensor of shape [${shape}]`, SMALLER) ?? error;
  }
}

/** A tensor over memory that the caller may read and write between runs. */
export class GraphTensor<T extends GraphData = GraphData> {
  readonly data: T;
  readonly shape: readonly number[];
  /** What onnxruntime takes; it shares `data`. */
  readonly value: Tensor;

  constructor(dtype: GraphDType, shape: readonly number[], data?: T) {
    this.data = data ?? (allocate(dtype, shape) as T);
    this.shape = shape;
    // onnxruntime-common's types don't know Float16Array; its run-time does.
    this.value = new Tensor(dtype, this.data as Float32Array, shape);
    if (this.data instanceof Float16Array) {
      // onnxruntime-node 1.30 measures a Float16Array as 0 bytes (its pull request 32323): show it the same bytes as
      // a Uint16Array, which Tensor's constructor would turn back into a Float16Array.
      const { buffer, byteOffset, length } = this.data;
      Object.defineProperty(this.value, "cpuData", { value: new Uint16Array(buffer, byteOffset, length) });
    }
  }
}

/**
 * One loaded graph: names, element types and ranks are checked when it loads, so that a wrong export fails at start.
 * `run` blocks the JavaScript thread that calls it (onnxruntime-node has no asynchronous run): keep sessions in a
 * worker thread.
 */
export class OnnxSession {
  readonly name: string;
  readonly inputs: ReadonlyMap<string, Port>;
  readonly outputs: ReadonlyMap<string, Port>;
  /** Milliseconds spent in {@link run} since loading. */
  runMs = 0;
  readonly #session: InferenceSession;

  private constructor(name: string, session: InferenceSession, spec: GraphSpec) {
    this.name = name;
    this.#session = session;
    this.inputs = checkPorts(name, "input", session.inputMetadata, spec);
    this.outputs = checkPorts(name, "output", session.outputMetadata, spec);
  }

  /**
   * Loads `path` (by path, so that external data beside it is memory-mapped) and checks it against `spec`.
   * @throws ServiceError INTERNAL when the file doesn't load, the provider is missing or the graph isn't as `spec` says;
   * OUT_OF_MEMORY.
   */
  static async load(path: string, spec: GraphSpec, options: SessionOptions = {}): Promise<OnnxSession> {
    const name = join(basename(dirname(path)), basename(path));
    try {
      return new OnnxSession(name, await InferenceSession.create(path, sessionOptions(path, options)), spec);
    } catch (error) {
      if (ServiceError.is(error)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw (
        outOfMemory(error, `for ${name}`, "run fewer workers on this machine or GPU, or take a larger one") ??
        missingProvider(options.executionProvider ?? "cpu", reason, error) ??
        new ServiceError("INTERNAL", `${name} doesn't load: ${reason}`, { cause: error })
      );
    }
  }

  /** Element type and dimensions of an input that the spec names. */
  input(name: string): Port {
    return this.inputs.get(name)!;
  }

  /** A zeroed tensor of the input's element type. */
  inputTensor(name: string, shape: readonly number[]): GraphTensor {
    return new GraphTensor(this.input(name).dtype, shape);
  }

  /** A tensor for {@link run} to write an output into. */
  outputTensor(name: string, shape: readonly number[]): GraphTensor<GraphFloats> {
    return new GraphTensor<GraphFloats>(this.outputs.get(name)!.dtype, shape);
  }

  /**
   * Runs the graph on `feeds`. Outputs are written into the tensors of `into` where given (their shapes must be right),
   * else into new ones.
   * @throws ServiceError OUT_OF_MEMORY when they, or what lies between, have no room; the next run may have.
   */
  async run(
    feeds: Record<string, GraphTensor>,
    into: Record<string, GraphTensor> = {},
  ): Promise<Record<string, GraphTensor<GraphFloats>>> {
    const start = performance.now();
    const values: Record<string, Tensor> = {};
    for (const name in feeds) values[name] = feeds[name]!.value;
    const fetches: Record<string, Tensor | null> = {};
    for (const name of this.outputs.keys()) fetches[name] = into[name]?.value ?? null;
    const results = await this.#session.run(values, fetches).catch((error: unknown) => {
      throw outOfMemory(error, `in ${this.name}`, SMALLER) ?? error;
    });
    const outputs: Record<string, GraphTensor<GraphFloats>> = {};
    for (const [name, port] of this.outputs) {
      const given = into[name] as GraphTensor<GraphFloats> | undefined;
      // onnxruntime wrote into the given tensor and answers with another one over other memory.
      outputs[name] =
        given ?? new GraphTensor<GraphFloats>(port.dtype, results[name]!.dims, results[name]!.data as Float32Array);
    }
    this.runMs += performance.now() - start;
    return outputs;
  }

  /** Frees the graph's memory. The session can't be used afterwards. */
  async release(): Promise<void> {
    await this.#session.release();
  }
}

function checkPorts(
  graph: string,
  kind: "input" | "output",
  metadata: readonly InferenceSession.ValueMetadata[],
  { inputs, outputs, others }: GraphSpec,
): Map<string, Port> {
  const named: Record<string, PortSpec> = kind === "input" ? inputs : outputs;
  const specs = { ...(others && Object.fromEntries(metadata.map(({ name }) => [name, others]))), ...named };
  const ports = new Map<string, Port>();
  for (const [name, spec] of Object.entries(specs)) {
    const found = metadata.find((port) => port.name === name);
    if (!found && others && kind === "input") continue;
    if (!found?.isTensor)
      throw new ServiceError(
        "INTERNAL",
        `${graph} has no ${kind} ${name}; it has ${metadata.map((port) => port.name).join(", ")}`,
      );
    const dtype = spec.dtypes.find((one) => one === found.type);
    if (!dtype)
      throw new ServiceError("INTERNAL", `${graph}: ${kind} ${name} is ${found.type}, not ${spec.dtypes.join(" or ")}`);
    if (!spec.rank.includes(found.shape.length))
      throw new ServiceError(
        "INTERNAL",
        `${graph}: ${kind} ${name} has ${found.shape.length} dimensions [${found.shape}], not ${spec.rank.join(" or ")}`,
      );
    ports.set(name, { dtype, shape: found.shape });
  }
  const unknown = kind === "input" ? metadata.filter((port) => !(port.name in specs)) : [];
  if (unknown.length > 0)
    throw new ServiceError(
      "INTERNAL",
      `${graph} wants inputs that the pipeline doesn't give: ${unknown.map((port) => port.name).join(", ")}`,
    );
  return ports;
}
