import { $ZodRecord, type $ZodType } from "zod/v4/core";
import { binaryOf } from "../codec/binary-field.ts";
import { ImageValue } from "../codec/image.ts";
import { elementOf, memberOf, membersOf, unwrapped } from "../codec/schema-parts.ts";
import { ServiceError } from "../errors/service-error.ts";
import { ID } from "./upload-id.ts";
import type { UploadReader } from "./uploads.ts";

type Path = readonly (string | number)[];
type Read = Pick<UploadReader, "read">["read"];

/** An upload's own URL names it, too, presigned or not: BentoML's client opens any other text as a file. */
const URL_OF_ONE = new RegExp(`^https?://[^?#\\s]*/uploads/(${ID})(?:\\?|$)`);

/**
 * An input with the uploads that it names in place of pictures and bytes. No URL is ever fetched: one of an upload is
 * looked up by its id. Fields are looked for in objects, records and lists, not in unions.
 * @param reader reads them; undefined where no uploads are kept.
 * @throws ServiceError that names the field: NOT_FOUND, GONE, CONFLICT or PAYLOAD_TOO_LARGE as reading says.
 */
export async function withUploads(schema: $ZodType, input: unknown, reader?: UploadReader): Promise<unknown> {
  const read: Read = async (id) => {
    if (reader) return await reader.read(id);
    throw noUploads();
  };
  return await replaced(schema, input, read, []);
}

/** Why uploads are not to be had. */
export function noUploads(): ServiceError {
  return new ServiceError(
    "NOT_FOUND",
    'no uploads are kept here: set TANDEM_STORE to s3://bucket[/prefix] for a function, or serve it with "tandem serve"',
  );
}

async function replaced(wrapped: $ZodType, value: unknown, read: Read, path: Path): Promise<unknown> {
  const schema = unwrapped(wrapped);
  const kind = binaryOf(schema)?.kind;
  if (kind === "image" || kind === "bytes") {
    const id = typeof value === "string" ? idIn(value) : undefined;
    if (id === undefined) return value;
    const bytes = await read(id).catch((error: unknown) => Promise.reject(atField(error, path)));
    return kind === "image" ? new ImageValue(bytes) : bytes;
  }
  if (typeof value !== "object" || value === null || !takesFiles(schema)) return value;
  if (Array.isArray(value)) {
    const element = elementOf(schema);
    if (!element) return value;
    const items: unknown[] = [];
    for (const [i, item] of value.entries()) items.push(await replaced(element, item, read, [...path, i]));
    return items;
  }
  const members: Record<string, unknown> = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    const field = memberOf(schema, name);
    members[name] = field ? await replaced(field, member, read, [...path, name]) : member;
  }
  return { ...members };
}

function idIn(text: string): string | undefined {
  if (text.startsWith("upload:")) return text.slice("upload:".length);
  return URL_OF_ONE.exec(text)?.[1];
}

const taking = new WeakMap<$ZodType, boolean>();

/** Whether there may be a picture or bytes in it: a list of a million numbers is not walked for them. */
function takesFiles(wrapped: $ZodType): boolean {
  const schema = unwrapped(wrapped);
  const known = taking.get(schema);
  if (known !== undefined) return known;
  // A schema that holds itself is asked about before it is known: walking too much does no harm.
  taking.set(schema, true);
  const kind = binaryOf(schema)?.kind;
  const item = schema instanceof $ZodRecord ? schema._zod.def.valueType : elementOf(schema);
  const inner = item ? [item] : Object.values(membersOf(schema) ?? {});
  const takes = kind === "image" || kind === "bytes" || inner.some(takesFiles);
  taking.set(schema, takes);
  return takes;
}

function atField(error: unknown, path: Path): unknown {
  if (!ServiceError.is(error)) return error;
  const { code, message, retryAfter, cause } = error;
  return new ServiceError(code, `${path.join(".")}: ${message}`, {
    detail: [{ path: [...path], message }],
    ...(retryAfter !== undefined && { retryAfter }),
    cause,
  });
}
