/**
 * Runs a bundle of SST's in Pulumi's own language host, with its TypeScript loader, and mocks where the engine would be. Its
 * last line is what was registered. Arguments: bundle, app, stage, region.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { Pending } from "./pending.ts";
import { type Pulumi, ROOT } from "./platform.ts";
import { Recorder } from "./recorder.ts";

const [node, script, bundle, app, stage, region] = process.argv as [string, string, string, string, string, string];
const require = createRequire(join(ROOT, ".sst", "platform", "index.js"));
const recorder = new Recorder(require("@pulumi/pulumi") as Pulumi, new Pending(), { app, stage, region });
await recorder.start();
process.on("beforeExit", () => console.log(JSON.stringify(recorder.resources)));
process.env.PULUMI_NODEJS_TYPESCRIPT = "true";
process.argv = [node, script, "--monitor=mock", `--project=${app}`, `--stack=${stage}`, bundle];
require("@pulumi/pulumi/cmd/run");
