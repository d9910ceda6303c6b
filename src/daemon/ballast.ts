/**
 * A file of allocated bytes in the cache directory that is given up when the disk is full, so that the
 * rows that free space can still be written; made again when there is room. Owns that one file.
 */
import { Errno } from "../domain/errno.ts";
import * as libc from "../runtime/libc.ts";
import { LIMITS } from "./limits.ts";

export class Ballast {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  get present(): boolean {
    return typeof libc.lstat(this.#path) !== "number";
  }

  /** Gives the bytes back to the disk. */
  release(): void {
    const result = libc.unlink(this.#path);
    if (result < 0 && result !== -Errno.ENOENT) {
      // On a read-only or failing disk there is nothing to gain; the writers hear of it themselves.
      return;
    }
  }

  /** Allocates the bytes where there is ample room. True where the ballast is there afterwards. */
  restore(): boolean {
    if (this.present) return true;
    if (this.#available() < 4 * LIMITS.BALLAST_BYTES) return false;
    const flags = libc.O.WRONLY | libc.O.CREAT | libc.O.EXCL | libc.O.NOFOLLOW;
    const fd = libc.open(this.#path, flags, 0o600);
    if (fd < 0) return false;
    const result = libc.fallocate(fd, { mode: 0, offset: 0, length: LIMITS.BALLAST_BYTES });
    libc.close(fd);
    if (result < 0) {
      libc.unlink(this.#path);
      return false;
    }
    return true;
  }

  /** Looks at the disk: gives the ballast up when less than a quarter of it is free. */
  tend(): void {
    if (this.#available() < LIMITS.BALLAST_BYTES / 4) this.release();
    else this.restore();
  }

  #available(): number {
    const volume = libc.statvfs(this.#path.replace(/\/[^/]*$/, ""));
    return typeof volume === "number" ? 0 : volume.availableBytes;
  }
}
