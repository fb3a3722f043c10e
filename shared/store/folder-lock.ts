import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Another process holds the folder. */
export class FolderInUse extends Error {
  override readonly name = "FolderInUse";
}

/** Holds a data folder for one process. It ends with the process, however that ends. */
export class FolderLock {
  readonly #database: DatabaseSync;

  /**
   * @param waitMs how long another's lock is waited for.
   * @throws FolderInUse where another process holds the folder.
   */
  constructor(folder: string, waitMs = 0) {
    mkdirSync(folder, { recursive: true });
    this.#database = new DatabaseSync(join(folder, "lock"));
    try {
      this.#database.exec(`PRAGMA busy_timeout = ${waitMs}; BEGIN EXCLUSIVE`);
    } catch (cause) {
      this.#database.close();
      if (!/locked/.test((cause as Error).message)) throw cause;
      const message = `${folder} is in use by another tandem: stop that, or name another folder with --data`;
      throw new FolderInUse(message, { cause });
    }
  }

  release(): void {
    this.#database.close();
  }

  /** Whether another process holds a folder at this moment. */
  static isHeld(folder: string): boolean {
    try {
      new FolderLock(folder).release();
      return false;
    } catch {
      return true;
    }
  }
}
