import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { PipelineThread } from "#gpu-worker/runtime/pipeline-thread.ts";
import { boxOutline } from "../model.ts";

// Draws a large picture with a little more memory than the process has, then a small one, and prints what came of them.
// The large one needs 300 MB in one piece for its edges' first feature maps, so that what is refused leaves room for V8.
const SIDE = 1536;
const ROOM = 250 * 2 ** 20;
let crashes = 0;
const thread = await PipelineThread.start(process.argv[2]!, { maxPixels: SIDE ** 2, onCrash: () => void crashes++ });
const params = { prompt: "a red house", numInferenceSteps: 2, seed: 1 };
await thread.generate({ ...params, image: boxOutline(64, 64) });
const bytes = Number(/^VmSize:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024;
execFileSync("prlimit", ["--pid", String(process.pid), `--as=${bytes + ROOM}`]);
const large = await thread.generate({ ...params, image: boxOutline(SIDE, SIDE) }).then(
  () => "drawn",
  (error) => error.code,
);
const { images } = await thread.generate({ ...params, image: boxOutline(64, 64) });
console.log(JSON.stringify({ large, small: images[0]!.shape, ready: thread.ready, crashes }));
await thread.close();
