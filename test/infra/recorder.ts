import { answer, answerCall } from "./mocked-outputs.ts";
import type { Pending } from "./pending.ts";
import type { Inputs, Pulumi, RegisterRequest } from "./platform.ts";
import type { GraphResource } from "./synth.ts";

/** Pulumi's marks of what is not plain JSON: runtime/rpc.ts. */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";
const ASSET = "c44067f5952c0a294b673a41bacd8c17";
const ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7";

/** Stands where Pulumi's engine does, and writes down what a program registers. */
export class Recorder {
  static #apply: Pulumi["Output"]["prototype"]["apply"] | undefined;
  readonly resources: GraphResource[] = [];
  readonly calls: { token: string; inputs: Inputs }[] = [];
  readonly #pulumi: Pulumi;
  readonly #region: string;
  /** By type: what only AWS gives. */
  readonly #outputs = new Map<string, readonly string[]>();
  readonly #app: string;
  readonly #stage: string;
  readonly #pending: Pending;
  #request: RegisterRequest | undefined;

  constructor(
    pulumi: Pulumi,
    pending: Pending,
    { app, stage, region }: { app: string; stage: string; region: string },
  ) {
    this.#pulumi = pulumi;
    this.#pending = pending;
    this.#app = app;
    this.#stage = stage;
    this.#region = region;
  }

  /** Takes all that is registered from here on. */
  async start(): Promise<void> {
    const { runtime } = this.#pulumi;
    const mocks = {
      newResource: (asked: { type: string; name: string; inputs: Inputs }) => this.#register(asked),
      call: ({ token, inputs }: { token: string; inputs: Inputs }) => {
        const plain = this.plain(inputs) as Inputs;
        this.calls.push({ token, inputs: plain });
        return answerCall(token, plain, this.#region);
      },
    };
    await runtime.setMocks(mocks, this.#app, this.#stage, false);
    // Mocks hear of type, name and inputs alone; the request has parent, options and dependencies too.
    const monitor = runtime.getMonitor();
    const register = monitor.registerResource.bind(monitor);
    monitor.registerResource = (request, callback) => {
      this.#request = request;
      return this.#pending.track(register(request, callback));
    };
    // What an `apply` does in the background ends in more resources: bundling, zipping.
    const { prototype } = this.#pulumi.Output;
    const apply = Recorder.#apply ?? prototype.apply;
    Recorder.#apply = apply;
    const track = <T>(value: T): T => this.#pending.track(value);
    prototype.apply = function (callback, runWithUnknowns) {
      return apply.call(this, (value) => track(callback(value)), runWithUnknowns);
    };
  }

  /** Learns the outputs of each type that is made, from its class: `resourceInputs["arn"] = undefined /*out*\\/`. */
  watchTypes(): void {
    this.#pulumi.runtime.registerStackTransformation(({ type, resource }) => {
      if (this.#outputs.has(type)) return undefined;
      const source = resource.constructor.toString();
      const names = [...source.matchAll(/resourceInputs\["(\w+)"\] = undefined \/\*out\*\//g)].map(([, name]) => name!);
      this.#outputs.set(type, [...new Set(names)]);
      return undefined;
    });
  }

  #register({ type, name, inputs }: { type: string; name: string; inputs: Inputs }): { id: string; state: Inputs } {
    const request = this.#request!;
    const parent = request.getParent();
    const plain = this.plain(request.getObject()?.toJavaScript() ?? {}) as Inputs;
    this.resources.push({
      urn: this.#urnOf(parent, type, name),
      type,
      name,
      parent: parent === "" ? undefined : parent,
      custom: request.getCustom(),
      inputs: plain,
      options: {
        protect: request.getProtect() ?? false,
        retainOnDelete: request.getRetainondelete() ?? false,
        deleteBeforeReplace: request.getDeletebeforereplace(),
        ignoreChanges: request.getIgnorechangesList(),
        replaceOnChanges: request.getReplaceonchangesList(),
      },
      dependencies: [...request.getDependenciesList()].sort(),
    });
    if (!request.getCustom()) return { id: "", state: inputs };
    const outputs = this.#outputs.get(type) ?? [];
    const { id, state } = answer({ type, name, inputs: plain, outputs, region: this.#region });
    return { id, state: { ...state, ...inputs } };
  }

  /** As Pulumi's mocks make it, so that parents and dependencies are found by it. */
  #urnOf(parent: string, type: string, name: string): string {
    const parentType = parent.split("::")[2]?.split("$").at(-1);
    return `urn:pulumi:${this.#stage}::${this.#app}::${parentType ? `${parentType}$` : ""}${type}::${name}`;
  }

  /** Plain JSON of what Pulumi sends: secrets unwrapped, files as `<archive>` and `<asset>`. */
  plain(value: unknown): unknown {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map((item) => this.plain(item));
    const { [SIGNATURE]: signature, ...members } = value as Inputs;
    if (signature === SECRET) return this.plain(members.value);
    if (signature === ASSET || signature === ARCHIVE) return `<${signature === ASSET ? "asset" : "archive"}>`;
    return Object.fromEntries(Object.entries(members).map(([key, member]) => [key, this.plain(member)]));
  }
}
