/**
 * How an open is served: the table of docs/ARCHITECTURE.md, "How content is served". The first open
 * fixes it for an inode until nobody has it open, because the kernel answers EIO to any other mixture.
 * Owns that decision and nothing else; everything it needs to know it looks up.
 */
import { OpenFlag, PARKED, type Parked, type RequestHeader } from "../fuse/operations.ts";
import { O } from "../runtime/libc_constants.ts";
import { accessIsDue } from "./access_times.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Inode } from "./inode.ts";

/** Passthrough: read and mapped without the daemon. Cached, direct: through it. */
export type Kind = "cached" | "direct" | "passthrough";

/** Files of which the kernel may keep what it has cached. Beyond, the oldest are forgotten. */
const KEPT = 65_536;

const writes = (flags: number) => (flags & O.ACCMODE) !== O.RDONLY;
/** Only who can read as well can map for storing. */
export const canStore = (flags: number) => (flags & O.ACCMODE) === O.RDWR;

export class Serving {
  readonly #core: Core;
  /** The kernel's page cache of these was filled by visible reads, and nothing happened behind it since. */
  readonly #kept = new Set<number>();

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * How the next handle is served, if it is made in this very call. PARKED: something has to come
   * first, and the OPEN runs again.
   */
  choose(request: RequestHeader, file: FileState, flags: number): Kind | Parked {
    const kind = file.serving ?? this.#first(request, file, flags);
    if (kind === "passthrough" && canStore(flags)) {
      return this.#core.unseen.prepare(request, file) ?? kind;
    }
    return kind;
  }

  #first(request: RequestHeader, file: FileState, flags: number): Kind | Parked {
    const core = this.#core;
    const { inode } = file;
    // Rows do not say yet what was stored through mappings.
    if (core.unseen.catchUp(inode)) {
      return core.lot.park(request, { operation: "open", reason: "slices", file });
    }
    // What another mount changes must not be read from pages that the kernel has kept.
    if (core.following || inode.resident < inode.allocated) return "direct";
    const visible = this.visibly(flags);
    if (core.lending.obstacle !== undefined || core.suspect) return visible;
    const dying = inode.deadFrom !== undefined;
    const wanted = !writes(flags) && inode.allocated > 0 && !dying && !file.unsettled &&
      (this.#isQuiet(inode) || core.conformity.conforms(file));
    // While a mapping lives on, only passthrough shows everybody the same bytes at once.
    if (!wanted && core.lending.reclaim(inode)) {
      core.unseen.servedVisibly(inode);
      return visible;
    }
    if (dying) return core.lot.park(request, { operation: "open", reason: "slices", file });
    if (file.unsettled) {
      core.hurryTrims();
      return core.lot.park(request, { operation: "open", reason: "sync", file });
    }
    const conforms = core.conformity.check(request, file);
    if (conforms === PARKED) return PARKED;
    return conforms ? "passthrough" : visible;
  }

  /**
   * How content that is all here is served through the daemon. Who only writes has no use for a cache:
   * each write comes here at once anyway. Beside the cache it is copied once less, and the kernel does
   * not ask for the file's capabilities first (Filesystem.write takes them away).
   */
  visibly(flags: number): Kind {
    const onlyWrites = (flags & O.ACCMODE) === O.WRONLY;
    return onlyWrites && this.#core.session().mapsDirect ? "direct" : "cached";
  }

  /** It is worth making its content file what a lent one must be: it is not likely to change soon. */
  #isQuiet(inode: Inode): boolean {
    const age = this.#core.clock.wallMs() - inode.changedMs;
    return age >= this.#core.quietMs;
  }

  /**
   * OpenFlag bits of a handle that is being made; from now on the inode is served like this. Content
   * that the kernel does not take after all is served visibly.
   */
  begin(file: FileState, flags: number, kind: Kind): number {
    const first = file.serving === undefined;
    const { id } = file.inode;
    file.serving = kind;
    if (kind === "passthrough" && !this.#core.lending.lend(file)) this.#refused(file);
    switch (file.serving) {
      case "direct": {
        // Who reads may map it, and a page that a fault fetches beside a write may be older than that: the
        // kernel drops such pages since Linux 6.11 only.
        if ((flags & O.ACCMODE) !== O.WRONLY) {
          this.#kept.delete(id);
          return OpenFlag.DIRECT_IO;
        }
        // The kernel drops the pages that are overwritten; the others stay right.
        const keep = this.#kept.has(id);
        if (first) this.keep(id);
        return OpenFlag.DIRECT_IO | (keep ? OpenFlag.KEEP_CACHE : 0);
      }
      case "passthrough":
        this.#kept.delete(id);
        this.#core.lending.watchAccess(file);
        return OpenFlag.PASSTHROUGH | (writes(flags) ? OpenFlag.DIRECT_IO : 0);
      case "cached": {
        const keep = (!first || this.#kept.has(id)) && !this.#hidesAccess(file.inode, flags);
        this.keep(id);
        return keep ? OpenFlag.KEEP_CACHE : 0;
      }
    }
  }

  #refused(file: FileState): void {
    const core = this.#core;
    file.serving = "cached";
    core.guard(() => {
      if (core.lending.reclaim(file.inode)) core.unseen.servedVisibly(file.inode);
    });
  }

  /** Reads of what the kernel keeps are not seen: they would not move an access time that is due. */
  #hidesAccess(inode: Inode, flags: number): boolean {
    return (flags & O.ACCMODE) !== O.WRONLY && (flags & O.NOATIME) === 0 &&
      accessIsDue(inode, this.#core.clock);
  }

  /** The kernel caches nothing of this file but what is right: a new one, for example. */
  keep(inode: number): void {
    if (this.#kept.has(inode)) return;
    if (this.#kept.size >= KEPT) {
      for (const oldest of this.#kept) {
        this.#kept.delete(oldest);
        break;
      }
    }
    this.#kept.add(inode);
  }

  /** The last handle has gone: the next open is a first one. */
  end(file: FileState): void {
    file.serving = undefined;
    this.#core.lending.giveBack(file);
  }
}
