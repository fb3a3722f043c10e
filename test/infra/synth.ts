/** Runs an SST program without AWS: Pulumi's mocks take what it registers, and hand it back as a graph. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll } from "vitest";
import { preparePlatform } from "#infra/platform/prepare.ts";
import { type CliCall, startCliServer } from "./cli-server.ts";
import { Pending } from "./pending.ts";
import { type Inputs, loadPlatform, PREPARED_IN_MS, ROOT } from "./platform.ts";
import { Recorder } from "./recorder.ts";

/** What a program registered. */
export interface Graph {
  readonly resources: readonly GraphResource[];
  /** By URN: what components say of themselves, such as `_dev`, the pane of `sst dev`. */
  readonly componentOutputs: ReadonlyMap<string, Inputs>;
  /** Data sources that it read. */
  readonly calls: readonly { readonly token: string; readonly inputs: Inputs }[];
  /** What it asked SST's command: `Runtime.Build` for each function. */
  readonly cliCalls: readonly CliCall[];
  readonly outputs: Inputs;
  /** What it threw: a `VisibleError`, or a fault of the program. */
  readonly error: unknown;
}

export interface GraphResource {
  readonly urn: string;
  /** `aws:sqs/queue:Queue`; of components `sst:aws:Queue`. */
  readonly type: string;
  /** Logical name. */
  readonly name: string;
  /** URN; undefined at the top. */
  readonly parent: string | undefined;
  /** A provider makes it; false: a component. */
  readonly custom: boolean;
  /** Plain JSON. Secrets are unwrapped, files read `<archive>` or `<asset>`. */
  readonly inputs: Inputs;
  readonly options: ResourceOptions;
  /** URNs of what must be there before: `dependsOn`, and whose outputs are among the inputs. */
  readonly dependencies: readonly string[];
}

export interface ResourceOptions {
  readonly protect: boolean;
  readonly retainOnDelete: boolean;
  readonly deleteBeforeReplace: boolean;
  readonly ignoreChanges: readonly string[];
  readonly replaceOnChanges: readonly string[];
}

export interface SynthesizeOptions {
  /** `tandem` when left out. */
  readonly app?: string;
  /** `test` when left out; `production` retains and protects, as sst.config.ts has it. */
  readonly stage?: string;
  /** As `sst dev` runs it. */
  readonly dev?: boolean;
  /** `us-east-1` when left out. */
  readonly region?: string;
  /** Bundles functions as SST does, about a second each; otherwise each is an empty handler. */
  readonly bundle?: boolean;
}

/** The first program of a test file waits for what it needs, outside its own time. */
beforeAll(async () => {
  await preparePlatform();
}, PREPARED_IN_MS);

/** In this time what a failed program leaves behind has failed too. */
const LATE_REJECTIONS_MS = 100;

/**
 * Runs a program as `sst deploy` does, up to where resources would be made: the first in about 3 s, others in less than one.
 * One at a time in a process.
 * @param program may use `sst`, `aws` and the `$` functions; its modules must not while they load.
 */
export async function synthesize(
  program: () => unknown,
  { app = "tandem", stage = "test", dev = false, region = "us-east-1", bundle = false }: SynthesizeOptions = {},
): Promise<Graph> {
  const pending = new Pending();
  await using cli = await startCliServer(region, { bundle, pending });
  const work = await mkdtemp(join(tmpdir(), "tandem-synth-"));
  const cwd = process.cwd();
  // What an `apply` throws ends a deployment's process; here nothing else would wait for it.
  const stray = Promise.withResolvers<never>();
  stray.promise.catch(() => {});
  // Pulumi reads the stack at every promise: in vitest's way, by source maps, that would take more time than all else.
  const { prepareStackTrace } = Error;
  const listeners = process.rawListeners("unhandledRejection") as NodeJS.UnhandledRejectionListener[];
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", stray.reject);
  try {
    const production = stage === "production";
    const removal = production ? "retain" : "remove";
    const paths = { home: work, root: ROOT, work, platform: join(ROOT, ".sst", "platform") };
    process.env.SST_SERVER = cli.url;
    Object.assign(globalThis, {
      $app: { name: app, stage, removal, protect: production, providers: { aws: { region } } },
      $cli: { command: dev ? "dev" : "deploy", dev, paths, state: { version: {} } },
      $dev: dev,
    });
    const { pulumi, aws, sst, shim, run } = await loadPlatform();
    const recorder = new Recorder(pulumi, pending, { app, stage, region });
    await recorder.start();
    Object.assign(globalThis, { aws, sst, ...shim });
    Reflect.deleteProperty(Error, "prepareStackTrace");
    const running = pulumi.runtime.runInPulumiStack(() => {
      recorder.watchTypes();
      return run(program);
    });
    let outputs: unknown = {};
    let error: unknown;
    try {
      outputs = await Promise.race([running, stray.promise]);
      await Promise.race([pulumi.runtime.waitForRPCs().then(() => pending.none()), stray.promise]);
    } catch (thrown) {
      error = thrown;
      await sleep(LATE_REJECTIONS_MS);
    }
    const { resources, calls, componentOutputs } = recorder;
    return {
      resources,
      componentOutputs,
      calls,
      cliCalls: cli.calls,
      outputs: recorder.plain(outputs) as Inputs,
      error,
    };
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    process.off("unhandledRejection", stray.reject);
    for (const listener of listeners) process.on("unhandledRejection", listener);
    process.chdir(cwd);
    await rm(work, { recursive: true, force: true });
  }
}
