import type { HandlerFiles } from "#shared/serve/handler-files.ts";
import type { Demand } from "./demand.ts";
import type { PlanReport } from "./plan-report.ts";

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
  const module = JSON.stringify(`../services/${stem}.ts`);
  const implementation = `deployable(${name}, () => import(${module}))`;
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
