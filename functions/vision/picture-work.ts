/**
 * What is done with pictures, in one module: it is loaded with the first of them, as sharp is. A function's start has no
 * time for it.
 */
export { cannyAsync } from "./canny-thread.ts";
export { decodeImage } from "./decode-image.ts";
export { encodeEdgePng } from "./edge-map.ts";
export { imageSize, workingSize } from "./image-size.ts";
