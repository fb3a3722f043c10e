import { log } from "../observability/log.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { offKey, type SplitVersion } from "./canary-split.ts";

/** Milliseconds for which an answer of the store is believed. */
const BELIEVED_MS = 30_000;
/** Milliseconds that a call waits for it. */
const ASKED_MS = 1_000;

/**
 * Knows which versions were taken off by the rollback function: those whose object is in the store. It is asked once in 30
 * seconds for each version, by a call that would go there: between invocations a function stands still, and could not ask
 * in the background. A store that does not answer changes nothing.
 */
export class OffSwitch {
  readonly #store: ObjectStore | undefined;
  readonly #known = new Map<string, { off: boolean; at: number }>();

  constructor(store: ObjectStore | undefined) {
    this.#store = store;
  }

  async isOff(version: SplitVersion): Promise<boolean> {
    const key = offKey(version);
    const known = this.#known.get(key);
    if (!this.#store || (known && Date.now() - known.at < BELIEVED_MS)) return known?.off ?? false;
    // Before it is asked: of calls at the same time one waits.
    const now = { off: known?.off ?? false, at: Date.now() };
    this.#known.set(key, now);
    try {
      now.off = await this.#store.has(key, AbortSignal.timeout(ASKED_MS));
    } catch (err) {
      log.warn({ err, version: version.label }, "whether the version is off could not be asked; it stays as it was");
    }
    return now.off;
  }
}
