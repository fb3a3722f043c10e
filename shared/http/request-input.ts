import { z } from "zod";
import { ImageValue } from "../codec/image.ts";
import { binaryOf } from "../codec/schemas.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { Service } from "../service/contract.ts";

type Members = Record<string, unknown>;

/**
 * The input of a call from an HTTP body, as BentoML's clients send it: a JSON object, or a form with one part a field
 * (files as files, other fields as JSON texts or plain text). An empty body is an empty input.
 * @throws ServiceError INVALID_ARGUMENT for a body that cannot be read, UNSUPPORTED_MEDIA_TYPE for another content type.
 */
export async function requestInput(request: Request, api: Service["apis"][string]): Promise<unknown> {
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "multipart/form-data" || type === "application/x-www-form-urlencoded")
    return formInput(await readForm(request), api.input);
  const body = new Uint8Array(await request.arrayBuffer());
  if (body.byteLength === 0) return {};
  if (type !== "" && type !== "application/json" && !type.endsWith("+json"))
    throw new ServiceError(
      "UNSUPPORTED_MEDIA_TYPE",
      `content type ${type} is not taken: send multipart/form-data or application/json`,
    );
  const json = parseJson(body);
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new ServiceError("INVALID_ARGUMENT", "the body must be a JSON object with one member an argument");
  return json;
}

async function readForm(request: Request): Promise<FormData> {
  try {
    return await request.formData();
  } catch (cause) {
    if (ServiceError.is(cause)) throw cause;
    throw new ServiceError("INVALID_ARGUMENT", "the form cannot be read: it is cut off or has no boundary", { cause });
  }
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new ServiceError("INVALID_ARGUMENT", `the body is no JSON: ${(cause as Error).message}`, { cause });
  }
}

async function formInput(form: FormData, schema: z.ZodType): Promise<Members> {
  const fields = schema instanceof z.ZodObject ? (schema.shape as Record<string, z.ZodType>) : {};
  const input: Members = Object.create(null);
  for (const name of new Set(form.keys())) {
    const field = fields[name] && unwrapped(fields[name]);
    const isList = field instanceof z.ZodArray;
    const parts = form.getAll(name);
    const item = isList ? unwrapped(field.element as z.ZodType) : field;
    const values = await Promise.all(parts.map((part) => partValue(part, item, isList)));
    if (values.length > 1 && !isList)
      throw new ServiceError("INVALID_ARGUMENT", `${name}: given ${values.length} times`, {
        detail: [{ path: [name], message: `given ${values.length} times` }],
      });
    const [only] = values;
    input[name] = isList && !(values.length === 1 && Array.isArray(only)) ? values : only;
  }
  return { ...input };
}

async function partValue(part: File | string, field: z.ZodType | undefined, isList: boolean): Promise<unknown> {
  if (typeof part !== "string") {
    const bytes = new Uint8Array(await part.arrayBuffer());
    return field && binaryOf(field)?.kind === "image" ? new ImageValue(bytes) : bytes;
  }
  let json: unknown;
  try {
    json = JSON.parse(part);
  } catch {
    return part;
  }
  // `-F prompt=123` means the text, BentoML's `"123"` too.
  return field instanceof z.ZodString && typeof json !== "string" && !(isList && Array.isArray(json)) ? part : json;
}

function unwrapped(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodNullable ||
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault
  )
    inner = inner.unwrap() as z.ZodType;
  return inner;
}
