import * as z from "zod";

/** What is known of a field beside its schema: for the documents, the editors' hover texts and the warnings. */
export interface FieldNote {
  /** What it says, in one sentence without a full stop. */
  about: string;
  /** What holds where it is not given. */
  default?: string;
  /** What `tandem serve` does with it: `used`, or `—`. */
  here: string;
  /** What becomes of it on AWS. */
  cloud: string;
  /** Said whenever it is given: it means nothing to Tandem, and why. */
  warning?: string;
  /** What the JSON Schema says in place of what zod makes of it. */
  editor?: object;
}

const notes = new WeakMap<z.core.$ZodType, FieldNote>();

/** A field that may be left out. */
export function field<S extends z.ZodType>(schema: S, note: FieldNote): z.ZodOptional<S> {
  const optional = schema.optional();
  notes.set(optional, note);
  return optional;
}

/** A field that must be there. */
export function required<S extends z.ZodType>(schema: S, note: Omit<FieldNote, "default">): S {
  const own = schema.clone() as S;
  notes.set(own, { default: "required", ...note });
  return own;
}

/** A field that Tandem knows, checks and does not use. */
export function unused<S extends z.ZodType>(schema: S, about: string, warning: string): z.ZodOptional<S> {
  return field(schema, { about, here: "—", cloud: "—", warning });
}

export function noteOf(schema: z.core.$ZodType): FieldNote | undefined {
  return notes.get(schema);
}

/** The schema of what is written: without `optional`, defaults and transforms around it. */
export function written(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return written(schema.def.innerType);
  return schema instanceof z.ZodPipe ? written(schema.def.in) : schema;
}

/** The schema of one member of a mapping or list, if it can have such a member. */
export function memberOf(schema: z.core.$ZodType, key: string | number): z.core.$ZodType | undefined {
  const inner = written(schema);
  if (inner instanceof z.ZodObject) return Object.hasOwn(inner.def.shape, key) ? inner.def.shape[key] : undefined;
  if (inner instanceof z.ZodRecord) return inner.def.valueType;
  if (inner instanceof z.ZodArray) return inner.def.element;
  if (!(inner instanceof z.ZodUnion)) return undefined;
  for (const option of inner.def.options) {
    const isList = written(option) instanceof z.ZodArray;
    const member = isList === (typeof key === "number") ? memberOf(option, key) : undefined;
    if (member) return member;
  }
  return undefined;
}

/** One documented field of a file. */
export interface Field extends FieldNote {
  /** With `<Name>` for a key that the user picks: `services.<Name>.scaling.max_replicas`. */
  path: string;
  schema: z.core.$ZodType;
}

/** Every field that a schema has, once: what stands in several places, such as `envs[].name`, is listed at its first. */
export function fieldsOf(schema: z.core.$ZodType, path = "", seen = new Set<z.core.$ZodType>()): Field[] {
  const inner = written(schema);
  if (inner instanceof z.ZodArray) return fieldsOf(inner.def.element, `${path}[]`, seen);
  if (inner instanceof z.ZodRecord) return fieldsOf(inner.def.valueType, `${path}.<Name>`, seen);
  if (inner instanceof z.ZodUnion) return inner.def.options.flatMap((option) => fieldsOf(option, path, seen));
  if (!(inner instanceof z.ZodObject) || seen.has(inner)) return [];
  seen.add(inner);
  return Object.entries<z.core.$ZodType>(inner.def.shape).flatMap(([name, member]) => {
    const own = path ? `${path}.${name}` : name;
    const note = notes.get(member);
    if (!note) throw new TypeError(`${own} has no note`);
    return [{ ...note, path: own, schema: member }, ...fieldsOf(member, own, seen)];
  });
}
