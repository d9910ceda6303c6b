/**
 * What errors of the operating system mean for a directory store.
 *
 * "Not there" is `missing` only where the store itself is provably there, by one look at both; everything
 * that is not understood is `unavailable`, never `missing`.
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

  /**
   * Runs `action`; an error of the operating system becomes the StoreError that it means. `again` looks
   * for the object below another path to the root, and rejects with the system's ENOENT where it is not
   * there.
   */
  async around<T>(
    call: { operation: string; key: string },
    action: () => Promise<T>,
    again?: (root: string) => Promise<unknown>,
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
        if (await this.#isMissing(what, again)) {
          throw new StoreError("missing", `${what}: there is no such object`, { code });
        }
        throw new StoreError("unavailable", `${what}: the store was away for a moment`, { code });
      }
      throw new StoreError(kinds[code] ?? "unavailable", `${what}: ${message(error)}`, {
        code,
        cause: error,
      });
    }
  }

  /** False: it is there. Throws StoreError where the store is not, or where nothing can be known. */
  async #isMissing(
    what: string,
    again: ((root: string) => Promise<unknown>) | undefined,
  ): Promise<boolean> {
    try {
      const root = await this.identity.hold(what);
      try {
        await again?.(root.path);
        return again === undefined;
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error;
        return true;
      } finally {
        await root.close();
      }
    } catch (failure) {
      if (failure instanceof StoreError) throw failure;
      throw new StoreError("unavailable", `${what}: ${message(failure)}`, { cause: failure });
    }
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
