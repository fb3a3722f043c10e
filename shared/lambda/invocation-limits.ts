/** Bytes of an event, or of an answer, that `Invoke` carries: 6 MB, less what stands around the payload. */
export const MAX_INLINE_BYTES = 6 * 2 ** 20 - 16_384;
/** Bytes whose base64 fits. */
export const MAX_FRAME_BYTES = Math.floor((MAX_INLINE_BYTES * 3) / 4);
