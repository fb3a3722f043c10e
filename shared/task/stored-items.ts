import type { CallObjects } from "../delivery/call-objects.ts";
import { ServiceError } from "../errors/service-error.ts";
import { decodeItems, type Item } from "../transport/frame-items.ts";

/** Longest item of a stored stream: as much as a whole stream may have. */
const MAX_ITEM_BYTES = 2 ** 30;

/** The items of one piece of a stored stream. */
export async function* pieceItems(piece: Uint8Array): AsyncGenerator<Item> {
  try {
    yield* decodeItems(once(piece), MAX_ITEM_BYTES);
  } catch (error) {
    // Every piece but the last stops without an end, between two items.
    if (ServiceError.is(error)) throw error;
  }
}

/**
 * What an api that streams gave, from its stored pieces.
 * @throws ServiceError the one that ended the stream; GONE where a piece is missing.
 */
export async function* storedValues(objects: CallObjects, id: string): AsyncGenerator<unknown> {
  for (let index = 0; ; index++) {
    const piece = await objects.items(id, index);
    if (!piece) throw new ServiceError("GONE", "the task's items have expired");
    for await (const item of pieceItems(piece)) {
      if (item.kind === "value") yield item.value;
      else if (item.kind === "error") throw item.error;
      else if (item.kind === "end") return;
    }
  }
}

async function* once(piece: Uint8Array): AsyncGenerator<Uint8Array> {
  yield piece;
}
