import { PipelineThread } from "#gpu-worker/runtime/pipeline-thread.ts";
import { NDArray } from "#shared/codec/ndarray.ts";

const thread = await PipelineThread.start(process.argv[2]!);
const image = new NDArray("uint8", [128, 128], new Uint8Array(128 * 128));
await thread.generate({ prompt: "a", image }, { onStep: (step) => step === 2 && process.exit(7) });
