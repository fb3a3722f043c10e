import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, Scalar } from "yaml";
import { type Fault, type Path, pathText } from "./faults.ts";

/** What a YAML file says, and where it says it. */
export interface YamlSource {
  readonly value: unknown;
  /** What is wrong with it as YAML: syntax, repeated keys, unknown tags. */
  readonly faults: readonly Fault[];
  /** A fault at the key of `path`, or at its value; at what is around it, where the file does not have it. */
  fault(path: Path, on: "key" | "value", about: Pick<Fault, "severity" | "message" | "hint">): Fault;
}

/** More nodes than a config file has: what aliases of aliases grow to. */
const MOST_NODES = 50_000;

const MESSAGES: Record<string, string> = { MULTIPLE_DOCS: "the file holds more than one document" };
const HINTS: Record<string, string> = {
  TAB_AS_INDENT: "indent with spaces",
  MULTIPLE_DOCS: "remove what follows ---",
  BAD_INDENT: "fields of one mapping stand in the same column",
  MISSING_CHAR: "a quote or bracket is not closed, or a key lacks its colon",
};

/**
 * Reads YAML as BentoML's reader does (yes, no, on and off are booleans, `<<` merges), but for what that lets through in
 * silence: repeated keys and octal numbers are faults.
 * @param asWritten whether a number there is to be kept as the text that it was written as.
 */
export function readYaml(text: string, file: string, asWritten: (path: Path) => boolean): YamlSource {
  const lines = new LineCounter();
  // `__proto__` and repeated keys are told of by the walk; YAML 1.1 as a whole would also make 1:30 a number.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false });
  const walk = new Walk(document, lines, file, asWritten);
  for (const { code, message, pos } of [...document.errors, ...document.warnings])
    walk.report(pos[0], [], MESSAGES[code] ?? message.replace(/ at line.*$/s, ""), HINTS[code]);
  const broken = document.errors.length > 0;
  const value = broken || !document.contents ? undefined : walk.read(document.contents, []);
  return { value, faults: walk.faults, fault: (path, on, about) => walk.faultAt(path, on, about) };
}

class Walk {
  readonly faults: Fault[] = [];
  readonly #keys = new Map<string, number>();
  readonly #values = new Map<string, number>();
  readonly #inside = new Set<Node>();
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #file: string;
  readonly #asWritten: (path: Path) => boolean;
  #nodes = 0;

  constructor(document: Document, lines: LineCounter, file: string, asWritten: (path: Path) => boolean) {
    this.#document = document;
    this.#lines = lines;
    this.#file = file;
    this.#asWritten = asWritten;
  }

  read(node: Node, path: Path): unknown {
    const start = node.range?.[0] ?? 0;
    if (!this.#values.has(keyOf(path))) this.#values.set(keyOf(path), start);
    if (++this.#nodes > MOST_NODES || this.#inside.has(node)) {
      if (this.#nodes <= MOST_NODES + 1) this.report(start, path, "anchors and aliases hold themselves, or too much");
      return undefined;
    }
    this.#inside.add(node);
    const value = this.#value(node, path, start);
    this.#inside.delete(node);
    return value;
  }

  #value(node: Node, path: Path, start: number): unknown {
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target) return this.read(target, path);
      this.report(
        start,
        path,
        `no anchor &${node.source} stands before this`,
        `write &${node.source} where it is first used`,
      );
      return undefined;
    }
    if (isSeq(node)) return node.items.map((item, index) => this.read(item as Node, [...path, index]));
    if (isMap(node)) {
      const members: Record<string, unknown> = {};
      for (const [name, value] of this.#members(node, path)) members[name] = value;
      return members;
    }
    return isScalar(node) ? this.#scalar(node, path, start) : undefined;
  }

  #members(node: Node, path: Path): Map<string, unknown> {
    const members = new Map<string, unknown>();
    if (!isMap(node)) return members;
    const first = new Map<string, number>();
    const merged: Node[] = [];
    for (const { key, value } of node.items) {
      const at = (key as Node).range?.[0] ?? 0;
      if (!isScalar(key)) {
        this.report(at, path, "a key must be a text");
        continue;
      }
      const name = key.source ?? String(key.value);
      const own = [...path, name];
      const before = first.get(name);
      if (before !== undefined) {
        const hint = name === "<<" ? "merge several with <<: [*one, *other]" : "keep one of the two";
        this.report(at, own, `given twice, first on line ${this.#lines.linePos(before).line}`, hint);
        continue;
      }
      first.set(name, at);
      if (name === "__proto__") this.report(at, own, "cannot be a key");
      else if (name === "<<" && key.type === Scalar.PLAIN) merged.push(value as Node);
      else {
        this.#keys.set(keyOf(own), at);
        members.set(name, value ? this.read(value as Node, own) : null);
      }
    }
    for (const source of merged) this.#merge(source, path, members);
    return members;
  }

  /** What the mapping itself has wins over what it merges, and the first merged mapping over the next. */
  #merge(source: Node, path: Path, members: Map<string, unknown>): void {
    const target = isAlias(source) ? source.resolve(this.#document) : source;
    if (isSeq(target)) for (const item of target.items) this.#merge(item as Node, path, members);
    else if (!isMap(target)) this.report(source.range?.[0] ?? 0, path, "<< merges a mapping or a list of mappings");
    else if (this.#inside.has(target)) this.report(source.range?.[0] ?? 0, path, "an anchor holds itself");
    else {
      this.#inside.add(target);
      const keys = new Map(this.#keys);
      const values = new Map(this.#values);
      for (const [name, value] of this.#members(target, path)) {
        if (!members.has(name)) members.set(name, value);
      }
      // Positions of what was there before stay.
      for (const [key, at] of keys) this.#keys.set(key, at);
      for (const [key, at] of values) this.#values.set(key, at);
      this.#inside.delete(target);
    }
  }

  #scalar({ value, source, type }: Scalar, path: Path, start: number): unknown {
    if (type !== Scalar.PLAIN) return value;
    const written = source ?? String(value);
    if (/^(yes|Yes|YES|on|On|ON)$/.test(written)) return true;
    if (/^(no|No|NO|off|Off|OFF)$/.test(written)) return false;
    if (typeof value === "bigint") return this.#asWritten(path) ? written : Number(value);
    if (typeof value !== "number") return value;
    if (this.#asWritten(path)) return written;
    if (/^[-+]?0\d/.test(written))
      this.report(start, path, `${written} is octal to BentoML and decimal to others`, `write ${value}`);
    return value;
  }

  report(offset: number, path: Path, message: string, hint?: string): void {
    const { line, col: column } = this.#lines.linePos(offset);
    const about = { severity: "error" as const, message, ...(hint !== undefined && { hint }) };
    this.faults.push({ file: this.#file, line, column, path: pathText(path), ...about });
  }

  faultAt(path: Path, on: "key" | "value", about: Pick<Fault, "severity" | "message" | "hint">): Fault {
    const { line, col: column } = this.#lines.linePos(this.#offset(path, on));
    return { file: this.#file, line, column, path: pathText(path), ...about };
  }

  #line(offset: number): number {
    return this.#lines.linePos(offset).line;
  }

  #offset(path: Path, on: "key" | "value"): number {
    const key = keyOf(path);
    const [name, value] = [this.#keys.get(key), this.#values.get(key)];
    // A value that starts below its key is found by the key.
    const apart = name !== undefined && value !== undefined && this.#line(name) !== this.#line(value);
    const offset = on === "key" || apart ? (name ?? value) : (value ?? name);
    if (offset !== undefined || path.length === 0) return offset ?? 0;
    return this.#offset(path.slice(0, -1), "key");
  }
}

function keyOf(path: Path): string {
  return JSON.stringify(path);
}
