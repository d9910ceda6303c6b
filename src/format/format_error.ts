/**
 * What a reader of the bucket's bytes may fail with. Every reader in this folder throws this and
 * nothing else, whatever bytes it is given.
 */

/** Bytes from the bucket that cannot be used. The message names what was read and the value found. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  /**
   * `corrupt`: not what the format says, so some copy of the bytes is damaged; read it again.
   * `unknown`: written by a newer version, or by something else; reading it again cannot help.
   */
  readonly kind: "corrupt" | "unknown";
  constructor(kind: "corrupt" | "unknown", message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
  }
}

/** Throws a `corrupt` FormatError with `message` unless `condition` holds. */
export function wellFormed(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new FormatError("corrupt", message());
}
