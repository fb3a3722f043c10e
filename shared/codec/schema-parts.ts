import {
  $ZodArray,
  $ZodDefault,
  $ZodNullable,
  $ZodObject,
  $ZodOptional,
  $ZodPrefault,
  $ZodRecord,
  type $ZodType,
} from "zod/v4/core";

/** What a schema wraps that may be missing, null or a default. */
export function unwrapped(schema: $ZodType): $ZodType {
  let inner = schema;
  while (
    inner instanceof $ZodOptional ||
    inner instanceof $ZodNullable ||
    inner instanceof $ZodDefault ||
    inner instanceof $ZodPrefault
  )
    inner = inner._zod.def.innerType;
  return inner;
}

/** The schemas of an object's members; undefined for another schema. */
export function membersOf(schema: $ZodType): Readonly<Record<string, $ZodType>> | undefined {
  return schema instanceof $ZodObject ? schema._zod.def.shape : undefined;
}

/** The schema of one member of an object or a record, by its name. */
export function memberOf(schema: $ZodType, name: string): $ZodType | undefined {
  if (schema instanceof $ZodRecord) return schema._zod.def.valueType;
  const members = membersOf(schema);
  return members && Object.hasOwn(members, name) ? members[name] : undefined;
}

/** The schema of a list's items; undefined for another schema. */
export function elementOf(schema: $ZodType): $ZodType | undefined {
  return schema instanceof $ZodArray ? schema._zod.def.element : undefined;
}
