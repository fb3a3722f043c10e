/** Compiles canny.ts to WebAssembly and writes it, as base64, to ../canny.wasm.ts: `npm run build:canny`. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const FLAGS = ["--enable", "simd", "--runtime", "stub", "--noAssert", "-O3"];

/** The kernel's WebAssembly binary, made from its source by the installed AssemblyScript. */
export async function buildKernel(): Promise<Uint8Array> {
  const binary: Uint8Array[] = [];
  const baseDir = fileURLToPath(new URL(".", import.meta.url));
  const { error, stderr } = await asc.main(["canny.ts", "--outFile", "canny.wasm", "--baseDir", baseDir, ...FLAGS], {
    writeFile: (_name, contents) => void binary.push(contents as Uint8Array),
  });
  if (error || !binary[0]) throw new Error(`asc failed: ${error?.message}\n${stderr}`);
  return binary[0];
}

/** Text of canny.wasm.ts for a binary. */
export function moduleOf(binary: Uint8Array): string {
  return [
    "/** The Canny kernel, built from kernel/canny.ts by `npm run build:canny`; in a module, so that bundlers inline it. */",
    `export const CANNY_WASM =\n  "${Buffer.from(binary).toString("base64")}";\n`,
  ].join("\n");
}

if (import.meta.main) {
  const binary = await buildKernel();
  writeFileSync(new URL("../canny.wasm.ts", import.meta.url), moduleOf(binary));
  console.log(`canny.wasm.ts: ${binary.length} bytes of WebAssembly`);
}
