import type { IncomingMessage } from "node:http";
import { ServiceError } from "../errors/service-error.ts";

/**
 * Reads a message's body: into one buffer of its own, so that arrays in it can be views.
 * @throws ServiceError PAYLOAD_TOO_LARGE as soon as it is known to be over `maxBytes`; the connection's own errors.
 */
export async function readBody(message: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const declared = message.headers["content-length"];
  const length = declared === undefined ? undefined : Number(declared);
  if (length !== undefined && length > maxBytes) throw tooLarge(length, maxBytes);
  // Grown as bytes arrive where no length is declared; never allocated ahead of a declared one of more than 64 MiB.
  let buffer = new Uint8Array(Math.min(length ?? 65536, 2 ** 26));
  let filled = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    if (filled + chunk.byteLength > maxBytes) throw tooLarge(filled + chunk.byteLength, maxBytes);
    if (filled + chunk.byteLength > buffer.byteLength) {
      const wanted = Math.max(filled + chunk.byteLength, Math.min(length ?? maxBytes, buffer.byteLength * 2));
      const larger = new Uint8Array(wanted);
      larger.set(buffer.subarray(0, filled));
      buffer = larger;
    }
    buffer.set(chunk, filled);
    filled += chunk.byteLength;
  }
  return buffer.subarray(0, filled);
}

function tooLarge(bytes: number, maxBytes: number): ServiceError {
  return new ServiceError("PAYLOAD_TOO_LARGE", `the body of ${bytes} bytes or more is over the limit of ${maxBytes}`);
}
