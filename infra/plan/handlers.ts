import type { Demand } from "./demand.ts";
import type { PlanReport } from "./plan-report.ts";

/** Files of a service's Lambda handlers, relative to the project's folder: `functions/handlers/controlnet-queue.ts`. */
export interface HandlerFiles {
  /** Answers its function URL and `Invoke`. */
  readonly url?: string;
  /** Its own queue's event source. */
  readonly queue?: string;
  /** Its dead-letter queue's event source. */
  readonly deadLetters?: string;
}

const SUFFIXES = { url: "", queue: "-queue", deadLetters: "-dead-letters" } as const;

/** The handler as SST takes it, `functions/handlers/controlnet.handler`; a file that is missing is reported. */
export function handlerOf(
  { name, at }: Demand,
  files: HandlerFiles,
  kind: keyof HandlerFiles,
  report: PlanReport,
): string {
  const file = files[kind];
  if (file !== undefined) return `${file.replace(/\.ts$/, "")}.handler`;
  const stem = name
    .toLowerCase()
    .replaceAll(/[-_]/g, "")
    .replace(/(?<=.)service$/, "");
  const implementation = `deployable(${name}, () => import("../services/${stem}.ts"))`;
  const [what, code] = {
    url: ["the handler", `lambdaHandler(${implementation})`],
    queue: ["the handler of its queue", `sqsHandler(${implementation})`],
    deadLetters: ["the handler of its dead letters", `deadLetterHandler(${name})`],
  }[kind] as [string, string];
  report.error(
    at(),
    `functions/handlers/${stem}${SUFFIXES[kind]}.ts is missing, ${what} of ${name}`,
    `write it: export const handler = ${code}`,
  );
  return `functions/handlers/${stem}${SUFFIXES[kind]}.handler`;
}
