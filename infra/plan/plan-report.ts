import { type Fault, type Path, pathText } from "#shared/config/faults.ts";
import type { Loaded } from "#shared/config/load.ts";

/** Gathers what is wrong with a plan, and what its author should know, each at its place in config-file.yaml. */
export class PlanReport {
  readonly #fault: Loaded<unknown>["fault"];
  readonly #place: (path: Path) => Path;
  readonly #faults: Fault[];

  /** @param fault says where a field stands in the file; of what is not in it, what is around it. */
  constructor(fault: Loaded<unknown>["fault"], place: (path: Path) => Path = (path) => path, faults: Fault[] = []) {
    this.#fault = fault;
    this.#place = place;
    this.#faults = faults;
  }

  /** The same report for what stands elsewhere in the file. */
  elsewhere(place: (path: Path) => Path): PlanReport {
    return new PlanReport(this.#fault, place, this.#faults);
  }

  error(path: Path, message: string, hint?: string): void {
    this.#add("error", path, message, hint);
  }

  warn(path: Path, message: string, hint?: string): void {
    this.#add("warning", path, message, hint);
  }

  /** By place in the file. */
  get faults(): Fault[] {
    return this.#faults.toSorted((one, other) => one.line - other.line || one.column - other.column);
  }

  get failed(): boolean {
    return this.errors > 0;
  }

  get errors(): number {
    return this.#faults.filter(({ severity }) => severity === "error").length;
  }

  #add(severity: Fault["severity"], path: Path, message: string, hint?: string): void {
    const own = this.#place(path);
    const text = pathText(own);
    if (this.#faults.some((one) => one.path === text && one.message === message)) return;
    this.#faults.push(this.#fault(own, message, { severity, hint }));
  }
}
