/** A body that is one frame: see `frame.ts`. */
export const FRAME_TYPE = "application/vnd.tandem.frame";
/** A body of frames, one an item: see `../transport/frame-items.ts`. */
export const ITEMS_TYPE = "application/vnd.tandem.frames";
