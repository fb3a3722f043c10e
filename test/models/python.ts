import { fileURLToPath } from "node:url";
import { pythonWith } from "../python.ts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** The Python with what exporting and training need, torch among it: several gigabytes, so both share one. */
export function modelsPython(): Promise<string> {
  const files = ["export", "training"].map((part) => path(`../../gpu-worker/${part}/requirements.txt`));
  return pythonWith("models", ...files);
}
