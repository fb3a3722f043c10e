import { readFileSync } from "node:fs";
import { VaeDecoder, type VaeTiling } from "#gpu-worker/pipelines/vae-decoder.ts";

// Prints by how many bytes the process grew at most while it decoded one picture.
const [folder, vaeTiling] = process.argv.slice(2) as [string, VaeTiling];
const kilobytes = (name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync("/proc/self/status", "utf8"))![1]);
const config = {
  latentChannels: 4,
  vaeScaleFactor: 4,
  vaeTileSize: 64,
  decodeScale: [1, 1, 1, 1],
  decodeShift: [0, 0, 0, 0],
};
const decoder = await VaeDecoder.load(folder, config, { vaeTiling });
const before = kilobytes("VmRSS");
await decoder.decode(new Float32Array(4 * 256 * 256), 256, 256);
console.log((kilobytes("VmHWM") - before) * 1024);
