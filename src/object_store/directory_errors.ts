/**
 * What errors of the operating system mean for a directory store.
 *
 * "Not there" is `missing` only while the store itself is provably there; everything that is not
 * understood is `unavailable`, never `missing`.
 */
import { codeOf, type DirectoryIdentity } from "./directory_identity.ts";
import { StoreError, type StoreErrorKind } from "./object_store.ts";

const kinds: Record<string, StoreErrorKind> = {
  // Full: nothing was stored, and there may be room later.
  ENOSPC: "unavailable",
  EDQUOT: "unavailable",
  EACCES: "denied",
  EPERM: "denied",
  EROFS: "denied",
  // A symbolic link, device or directory where the store keeps a file: somebody put it there.
  ELOOP: "denied",
  EISDIR: "denied",
  ENOTDIR: "denied",
  ENXIO: "denied",
  ENAMETOOLONG: "invalid",
};

export class DirectoryErrors {
  constructor(private readonly identity: DirectoryIdentity) {}

  /** Runs `action`; an error of the operating system becomes the StoreError that it means. */
  async around<T>(
    call: { operation: string; key: string },
    action: () => Promise<T>,
  ): Promise<T> {
    try {
      return await action();
    } catch (error) {
      const code = codeOf(error);
      // A StoreError also has a `code`, and the abort reasons of callers are theirs.
      if (error instanceof StoreError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) {
        throw error;
      }
      const what = `${call.operation} ${call.key}`;
      if (code === "ENOENT") {
        // The check itself may fail with an error of the system: then nothing is known.
        await this.identity.check(what).catch((failure) => {
          throw failure instanceof StoreError
            ? failure
            : new StoreError("unavailable", `${what}: ${message(failure)}`, { cause: failure });
        });
        throw new StoreError("missing", `${what}: there is no such object`, { code });
      }
      throw new StoreError(kinds[code] ?? "unavailable", `${what}: ${message(error)}`, {
        code,
        cause: error,
      });
    }
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
