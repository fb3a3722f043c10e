import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Handlers of a service as Lambda functions: files, relative to the project's folder. */
export interface HandlerFiles {
  /** Answers its function URL and `Invoke`. */
  readonly url?: string;
  /** Its own queue's event source. */
  readonly queue?: string;
  /** Its dead-letter queue's event source. */
  readonly deadLetters?: string;
}

type Kind = keyof HandlerFiles;

const FOLDER = "functions/handlers";
const SUFFIXES: Record<Kind, string> = { url: "", queue: "-queue", deadLetters: "-dead-letters" };
const WHAT: Record<Kind, string> = {
  url: "handler",
  queue: "handler of its own queue",
  deadLetters: "handler of its dead letters",
};

/**
 * Finds a service's handlers: the files in functions/handlers whose names without hyphens are the service's name in
 * lower case, `-queue` or `-dead-letters` after it. A `service` at the name's end may be left out: `controlnet.ts`,
 * `controlnet-queue.ts` and `sdxl-controlnet-dead-letters.ts` for `ControlNet` and `SDXLControlNetService`.
 * @param folder the project's.
 * @throws Error where two files would be the same handler.
 */
export function handlerFiles(folder: string, serviceName: string): HandlerFiles {
  const names = serviceStems(serviceName);
  const found: { -readonly [kind in Kind]?: string } = {};
  const path = join(folder, FOLDER);
  const stems = existsSync(path) ? readdirSync(path).flatMap((file) => /^(.+)\.ts$/.exec(file)?.[1] ?? []) : [];
  for (const stem of stems.sort())
    for (const [kind, suffix] of Object.entries(SUFFIXES) as [Kind, string][]) {
      if (!stem.endsWith(suffix) || !names.includes(compact(stem.slice(0, stem.length - suffix.length)))) continue;
      const file = `${FOLDER}/${stem}.ts`;
      if (found[kind] !== undefined)
        throw new Error(`${found[kind]} and ${file} are both the ${WHAT[kind]} of ${serviceName}: keep one of them`);
      found[kind] = file;
    }
  return found;
}

/**
 * As {@link handlerFiles}, with those that are asked for certainly among them.
 * @throws Error for one that is missing: which file it is and what to write in it.
 */
export function requiredHandlerFiles<K extends Kind>(
  folder: string,
  serviceName: string,
  kinds: readonly K[],
): HandlerFiles & Required<Pick<HandlerFiles, K>> {
  const found = handlerFiles(folder, serviceName);
  for (const kind of kinds) if (found[kind] === undefined) throw missing(serviceName, kind);
  return found as HandlerFiles & Required<Pick<HandlerFiles, K>>;
}

function missing(serviceName: string, kind: Kind): Error {
  const stem = serviceStems(serviceName).at(-1)!;
  const module = `../services/${stem}.ts`;
  const implementation = `deployable(${serviceName}, () => import("${module}"))`;
  const [maker, made] = {
    url: ["handler", `lambdaHandler(${implementation})`],
    queue: ["sqs-handler", `sqsHandler(${implementation})`],
    deadLetters: ["dead-letter-handler", `deadLetterHandler(${serviceName})`],
  }[kind] as [string, string];
  const lines = [
    `import { ${serviceName} } from "#shared/contracts/${stem}.ts";`,
    ...(kind === "deadLetters" ? [] : ['import { deployable } from "#shared/index.ts";']),
    `import { ${made.slice(0, made.indexOf("("))} } from "#shared/lambda/${maker}.ts";`,
    "",
    `export const handler = ${made};`,
  ];
  const file = `${FOLDER}/${stem}${SUFFIXES[kind]}.ts`;
  return new Error(
    `${file} is missing, the ${WHAT[kind]} of ${serviceName} as a function; write into it:\n\n${lines.join("\n")}\n`,
  );
}

/** What a handler's name without hyphens may be, the shortest last. */
function serviceStems(serviceName: string): string[] {
  const name = compact(serviceName);
  const short = name.replace(/(?<=.)service$/, "");
  return short === name ? [name] : [name, short];
}

function compact(name: string): string {
  return name.replaceAll(/[-_]/g, "").toLowerCase();
}
