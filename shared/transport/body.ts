import type { IncomingMessage } from "node:http";
import { ServiceError } from "../errors/service-error.ts";

/** Most bytes that are set aside because a header announces them; more are when they arrive. */
const TRUSTED_BYTES = 2 ** 26;
const FIRST_BYTES = 2 ** 16;

/**
 * Reads a message's body into one buffer of its own, so that arrays in it can be views.
 * @throws ServiceError PAYLOAD_TOO_LARGE as soon as it is known to be over `maxBytes`; the connection's own errors.
 */
export function readBody(message: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const declared = message.headers["content-length"];
  const length = declared === undefined ? undefined : Number(declared);
  return new Promise((resolve, reject) => {
    if (length !== undefined && length > maxBytes) {
      reject(tooLarge(length, maxBytes));
      return;
    }
    // Not from the shared pool: a frame's views need the buffer's start to be aligned.
    let buffer = Buffer.allocUnsafeSlow(Math.min(length ?? FIRST_BYTES, TRUSTED_BYTES));
    let filled = 0;
    message.on("data", (chunk: Buffer) => {
      const needed = filled + chunk.byteLength;
      if (needed > maxBytes) {
        message.pause();
        reject(tooLarge(needed, maxBytes));
        return;
      }
      if (needed > buffer.byteLength) {
        const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(length ?? maxBytes, buffer.byteLength * 2)));
        buffer.copy(larger, 0, 0, filled);
        buffer = larger;
      }
      chunk.copy(buffer, filled);
      filled = needed;
    });
    message.on("end", () => resolve(buffer.subarray(0, filled)));
    message.on("error", reject);
    message.on("close", () => {
      if (!message.complete) reject(new Error("the connection ended before the body did"));
    });
  });
}

/** The error for a body over the limit. */
export function tooLarge(bytes: number, maxBytes: number): ServiceError {
  return new ServiceError("PAYLOAD_TOO_LARGE", `the body of ${bytes} bytes or more is over the limit of ${maxBytes}`);
}
