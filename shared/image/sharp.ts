type SharpModule = typeof import("./sharp-module.ts").default;

let loading: Promise<SharpModule> | undefined;

/**
 * sharp, loaded at the first call: its import costs about 200 ms and has no place before a service's first health
 * answer. Only the loaders of the formats we take are left open (allow-list: SVG, PDF, TIFF, ... stay shut whatever
 * libvips learns to read). One libvips thread a picture and no operation cache: several processes share few cores, and
 * concurrent pictures run side by side on Node's thread pool anyway.
 */
export function loadSharp(): Promise<SharpModule> {
  loading ??= import("./sharp-module.ts").then(({ default: sharp }) => {
    sharp.cache(false);
    sharp.concurrency(1);
    sharp.block({ operation: ["VipsForeignLoad"] });
    sharp.unblock({ operation: ["Png", "Jpeg", "Webp", "Heif", "Nsgif"].map((name) => `VipsForeignLoad${name}`) });
    return sharp;
  });
  return loading;
}

/** The bytes as a Buffer on the same memory: sharp takes no other view without a doubt about its offset. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
