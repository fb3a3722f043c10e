/** A request that somebody without the store's credentials may send. */
export interface PresignedRequest {
  readonly url: string;
  /** Headers that it must have: they are signed. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Makes URLs by which others write and read objects of a store, each for one object and for a time. */
export interface Presigner {
  /**
   * A PUT of an object that is not there yet; the store refuses a second one.
   * @param bytes the only length that is taken; any, where it is not given.
   * @param seconds until which the request must have begun.
   */
  put(
    key: string,
    options: { seconds: number; bytes?: number | undefined; contentType?: string | undefined },
  ): Promise<PresignedRequest>;
  /**
   * The URL of a GET.
   * @param contentType what the answer says that it is.
   * @param seconds until which the request must have begun.
   */
  get(key: string, options: { seconds: number; contentType: string }): Promise<string>;
}
