import { ServiceError } from "../errors/service-error.ts";

/** A field of a form: its text, or a file's bytes. */
export type FormField = readonly [name: string, value: string | Uint8Array];

/** Each part costs its receiver more memory than its few bytes. */
const MAX_PARTS = 1000;
const MAX_PART_HEADERS = 16 * 1024;
const CRLF = "\r\n";

/**
 * The fields of a multipart/form-data body (RFC 7578), in order; a part with a file name is a file. Files are views of
 * `body`: `Request.formData` copies a picture three times.
 * @throws ServiceError INVALID_ARGUMENT when the body is cut off or malformed, or the content type names no boundary.
 */
export function multipartFields(body: Uint8Array, contentType: string): FormField[] {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) throw unreadable("its content type names no boundary");
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const delimiter = Buffer.from(`${CRLF}--${boundary}`, "latin1");
  const opening = delimiter.subarray(CRLF.length);
  const fields: FormField[] = [];
  // What stands before the first delimiter is no part of the form.
  let at = bytes.subarray(0, opening.length).equals(opening) ? 0 : bytes.indexOf(delimiter) + CRLF.length;
  if (at === 1) throw unreadable("its boundary is missing");
  at += opening.length;
  while (bytes.toString("latin1", at, at + 2) !== "--") {
    if (fields.length === MAX_PARTS) throw unreadable(`it has more than ${MAX_PARTS} parts`);
    const line = bytes.indexOf(CRLF, at);
    const start = bytes.indexOf(CRLF + CRLF, line);
    if (line < 0 || start < 0 || start - line > MAX_PART_HEADERS || bytes.toString("latin1", at, line).trim() !== "")
      throw unreadable("a part has no headers");
    const end = bytes.indexOf(delimiter, start + 2 * CRLF.length);
    if (end < 0) throw unreadable("it is cut off");
    const content = bytes.subarray(start + 2 * CRLF.length, end);
    const { name, isFile } = disposition(bytes.toString("utf8", line, start));
    fields.push([
      name,
      isFile
        ? new Uint8Array(content.buffer as ArrayBuffer, content.byteOffset, content.byteLength)
        : new TextDecoder().decode(content),
    ]);
    at = end + delimiter.length;
  }
  return fields;
}

function disposition(headers: string): { name: string; isFile: boolean } {
  const [, list = ""] = /\r\ncontent-disposition:[ \t]*form-data([^\r]*)/i.exec(headers) ?? [];
  const parameters = new Map<string, string>();
  for (const [, name, quoted, plain] of list.matchAll(/;\s*([^\s=;"]+)=(?:"([^"]*)"|([^\s;"]*))/g))
    parameters.set(name!.toLowerCase(), quoted ?? plain!);
  // What HTML's encoder escapes in a name, and no more.
  const name = parameters.get("name")?.replace(/%0A|%0D|%22/gi, decodeURIComponent);
  if (name === undefined) throw unreadable("a part has no name");
  return { name, isFile: parameters.has("filename") || parameters.has("filename*") };
}

function unreadable(why: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `the form cannot be read: ${why}`);
}
