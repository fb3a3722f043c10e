/**
 * What can be wrong with a model's weights.
 * - `no_manifest`: there is no manifest.json;
 * - `bad_manifest`: it is not what one must be;
 * - `missing`: a file that it lists is not there;
 * - `checksum`: a file is not what it lists;
 * - `disk_full`: the disk has no room for the files;
 * - `unreachable`: where the weights are cannot be reached, or refuses.
 */
export type ModelFault = "no_manifest" | "bad_manifest" | "missing" | "checksum" | "disk_full" | "unreachable";

/** Weights that cannot be had, sent or used. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  readonly fault: ModelFault;
  /** Path of the file in the model's folder, where it is about one. */
  readonly file: string | undefined;

  constructor(fault: ModelFault, message: string, options: { file?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.fault = fault;
    this.file = options.file;
  }
}
