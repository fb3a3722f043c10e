/** Where something stands in a file: `["services", "ControlNet", "envs", 0, "name"]`. */
export type Path = readonly (string | number)[];

/** One thing that is wrong with a config file (`error`), or that its author should know (`warning`). */
export interface Fault {
  severity: "error" | "warning";
  file: string;
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
  /** The field, as `services.ControlNet.scaling.max_replicas`; empty for the file as a whole. */
  path: string;
  message: string;
  /** What to write instead. */
  hint?: string;
}

/** Tells of something at a path: an error, unless it says otherwise. */
export type Report = (
  path: Path,
  message: string,
  hint?: string,
  options?: { severity?: Fault["severity"]; on?: "key" | "value" },
) => void;

/** Every error of the files that were read, at once; `message` holds them all, a line each. */
export class ConfigError extends Error {
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    const errors = faults.filter(({ severity }) => severity === "error");
    const count = errors.length === 1 ? "1 fault" : `${errors.length} faults`;
    super(`${errors[0]!.file} has ${count}\n${errors.map((fault) => `  ${faultLine(fault)}`).join("\n")}`);
    this.name = "ConfigError";
    this.faults = faults;
  }
}

/** `config-file.yaml:7:5: services.A.scaling.max_replica: unknown field; did you mean max_replicas?` */
export function faultLine({ severity, file, line, column, path, message, hint }: Fault): string {
  const kind = severity === "warning" ? "warning: " : "";
  return `${file}:${line}:${column}: ${kind}${path && `${path}: `}${message}${hint ? `; ${hint}` : ""}`;
}

/** A path as text: `envs[0].name`. */
export function pathText(path: Path): string {
  return path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : text ? `${text}.${part}` : part),
    "",
  );
}

/** A text that stands for a number and cannot be read as one. */
export class Unreadable extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = "Unreadable";
    this.hint = hint;
  }
}
