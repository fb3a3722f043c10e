import * as z from "zod";
import { parseDuration } from "./duration.ts";
import { Unreadable } from "./faults.ts";
import { parseCpu, parseMemory } from "./quantity.ts";

/** A whole number; the message says the range. */
export function whole(least: number, most?: number): z.ZodInt {
  const error = `must be a whole number from ${least}${most === undefined ? "" : ` to ${most}`}`;
  const schema = z.int({ error }).min(least, { error });
  return most === undefined ? schema : schema.max(most, { error });
}

/** A number over 0. */
export function positive(): z.ZodNumber {
  const error = "must be a number over 0";
  return z.number({ error }).gt(0, { error });
}

/** A number between two others, both included. */
export function between(least: number, most: number): z.ZodNumber {
  const error = `must be a number from ${least} to ${most}`;
  return z.number({ error }).min(least, { error }).max(most, { error });
}

/** True or false. */
export function flag(): z.ZodBoolean {
  return z.boolean({ error: "must be true or false" });
}

/** A text that is not empty. */
export function text(error = "must be a text"): z.ZodString {
  return z.string({ error }).min(1, { error: "must not be empty" });
}

/** A text of a certain form. */
export function form(pattern: RegExp, error: string): z.ZodString {
  return z.string({ error }).regex(pattern, { error });
}

/** One of some words. */
export function words<const W extends readonly string[]>(list: W): z.ZodEnum<{ [K in W[number]]: K }> {
  return z.enum(list, { error: `must be ${list.slice(0, -1).join(", ")} or ${list.at(-1)}` });
}

export function texts(): z.ZodArray<z.ZodString> {
  return z.array(text(), { error: "must be a list" });
}

/** A text, or a list of them. */
export function textOrTexts() {
  return z.union([text(), texts()], { error: "must be a text or a list of texts" });
}

/** Any mapping; what is in it is not looked at. */
export function anyMapping() {
  return z.record(z.string(), z.unknown(), { error: "must be a mapping" });
}

function read<T extends number | string, U>(parse: (value: T) => U) {
  return z.transform((value: T, context): U => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      context.issues.push({ code: "custom", input: value, message: error.message, params: { hint: error.hint } });
      return z.NEVER;
    }
  });
}

/** Cores. */
export function cpu() {
  const error = "must be cores such as 2 or 0.5, or thousandths such as 400m";
  return z.union([z.number({ error }).gt(0, { error }), z.string()], { error }).pipe(read(parseCpu));
}

/** Bytes. */
export function memory() {
  const error = "must be memory such as 512Mi, 1Gi or 2G";
  return z.union([z.number({ error }).gt(0, { error }), z.string()], { error }).pipe(read(parseMemory));
}

/** Seconds over 0. */
export function duration() {
  const error = "must be seconds over 0, such as 90, or a text such as 90s, 15m or 1h30m";
  return z
    .union([z.number({ error }), z.string()], { error })
    .pipe(read(parseDuration))
    .refine((seconds) => seconds > 0, { error });
}

/** Whole seconds. */
export function wholeSeconds(least: number, most?: number) {
  const range = `from ${least}${most === undefined ? "" : ` to ${most}`}`;
  const error = `must be whole seconds ${range}`;
  return z
    .union([z.number({ error }), z.string()], { error })
    .pipe(read(parseDuration))
    .refine((seconds) => Number.isInteger(seconds) && seconds >= least && seconds <= (most ?? Infinity), { error });
}

/** For editors: a number, or a text of a certain form. */
export function numberOr(pattern: RegExp): object {
  return { anyOf: [{ type: "number" }, { type: "string", pattern: pattern.source }] };
}
