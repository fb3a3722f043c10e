import { $ZodObject, $ZodString, type $ZodType, safeParse } from "zod/v4/core";
import { binaryOf } from "../codec/binary-field.ts";
import { ImageValue } from "../codec/image.ts";
import { elementOf, memberOf, unwrapped } from "../codec/schema-parts.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { Service } from "../service/contract.ts";
import type { FormField } from "./multipart.ts";

type Members = Record<string, unknown>;

/**
 * The input of a call from an HTTP body, as BentoML's clients send it: a JSON object, or a form with one part a field
 * (files as files, other fields as JSON or plain text, in a part or in a file). An empty body is an empty input.
 * @throws ServiceError INVALID_ARGUMENT for a body that cannot be read, UNSUPPORTED_MEDIA_TYPE for another content type.
 */
export async function requestInput(request: Request, api: Pick<Service["apis"][string], "input">): Promise<unknown> {
  const contentType = request.headers.get("content-type") ?? "";
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  const body = await readBody(request);
  if (type === "multipart/form-data") {
    const { multipartFields } = await import("./multipart.ts");
    return formInput(multipartFields(body, contentType), api.input);
  }
  if (type === "application/x-www-form-urlencoded")
    return formInput([...new URLSearchParams(new TextDecoder().decode(body))], api.input);
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

async function readBody(request: Request): Promise<Uint8Array> {
  try {
    return new Uint8Array(await request.arrayBuffer());
  } catch (cause) {
    throw new ServiceError("INVALID_ARGUMENT", "the body cannot be read: it is cut off", { cause });
  }
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new ServiceError("INVALID_ARGUMENT", `the body is no JSON: ${(cause as Error).message}`, { cause });
  }
}

function formInput(parts: readonly FormField[], schema: $ZodType): Members {
  const input: Members = Object.create(null);
  for (const [name, values] of Map.groupBy(parts, ([name]) => name)) {
    const declared = schema instanceof $ZodObject ? memberOf(schema, name) : undefined;
    const field = declared && unwrapped(declared);
    const element = field && elementOf(field);
    const isList = element !== undefined;
    const item = element ? unwrapped(element) : field;
    if (values.length > 1 && !isList)
      throw new ServiceError("INVALID_ARGUMENT", `${name}: given ${values.length} times`, {
        detail: [{ path: [name], message: `given ${values.length} times` }],
      });
    const isNullable = (): boolean => declared !== undefined && safeParse(declared, null).success;
    const [only, ...more] = values.map(([, part]) => partValue(part, item, isList, isNullable));
    input[name] = isList && (more.length > 0 || !Array.isArray(only)) ? [only, ...more] : only;
  }
  return { ...input };
}

function partValue(
  part: Uint8Array | string,
  field: $ZodType | undefined,
  isList: boolean,
  isNullable: () => boolean,
): unknown {
  const kind = field && binaryOf(field)?.kind;
  if (typeof part !== "string" && kind === "image") return new ImageValue(part);
  if (typeof part !== "string" && (kind === "bytes" || !field)) return part;
  // A field that is no file may come as one: browsers send a JSON part so.
  const text = typeof part === "string" ? part : Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return text;
  }
  if (!(field instanceof $ZodString) || typeof json === "string") return json;
  // `-F prompt=123` means the text, BentoML's `"123"` too; null is a value where the field takes it.
  return (json === null && isNullable()) || (isList && Array.isArray(json)) ? json : text;
}
