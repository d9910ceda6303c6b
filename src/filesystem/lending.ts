/**
 * Content files lent to the kernel (passthrough): programs read and map them without asking. Owns the
 * ids under which the kernel knows them, one per inode, and the memory of which files may still be
 * mapped after the last close; the kernel does not say when a mapping ends, a lease probe does.
 *
 * Promises: `reclaim` is true only if no program has the content file open or mapped, and none can get
 * hold of it before another OPEN is answered. Never waits for anybody.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import type { ContentStore } from "../content/content_store.ts";
import type { SessionPort } from "../fuse/operations.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import type { Clock, Timestamp } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import { accessIsDue } from "./access_times.ts";
import type { FileState } from "./file_state.ts";
import type { Inode } from "./inode.ts";

/** Files that are remembered one by one; beyond, every file counts as lent. */
const REMEMBERED = 100_000;
/** In which start of the machine content was lent; while it lasts, somebody may have mapped it. */
const SETTING = "lent_boot_id";
const PROBE = "lease-probe";
/** Older than any change, so that relatime moves it with the next read. */
const NEVER: Timestamp = { seconds: 1, nanoseconds: 0 };

export interface LendingParts {
  database: MetadataDatabase;
  store: ContentStore;
  session: () => SessionPort;
  /** Names this start of the machine: no mapping survives it. */
  bootId: string;
  clock: Clock;
  /** Told of the time at which somebody has read a file that was lent. */
  accessed: (inode: Inode, at: Timestamp) => void;
}

export class Lending {
  readonly #parts: LendingParts;
  /** Why content cannot be lent; undefined where it can. */
  obstacle: string | undefined = "passthrough was not asked for";
  /** Lent in this mount and not known to be free since. */
  #lent = new Set<number>();
  /** Any file may be mapped that is not among these: by programs of an earlier mount, or too many were lent. */
  #free: Set<number> | undefined;
  /** An earlier mount of this start of the machine did not end with its last mapping. */
  readonly #inherited: boolean;
  /** Files that are lent now. */
  open = 0;

  constructor(parts: LendingParts) {
    this.#parts = parts;
    this.#inherited = parts.database.setting(SETTING) === parts.bootId;
    if (this.#inherited) this.#free = new Set();
  }

  /** Tries, once the kernel has agreed, whether lending works here: all of it, on a file of its own. */
  offer(): void {
    this.obstacle = this.#tryIt();
    if (this.obstacle !== undefined) return;
    this.#parts.database.setSetting(SETTING, this.#parts.bootId);
  }

  #tryIt(): string | undefined {
    const session = this.#parts.session();
    if (!session.passthrough) return "the kernel has no passthrough (Linux 6.9 or newer has it)";
    const path = `${this.#parts.store.directory}/${PROBE}`;
    const fd = libc.open(path, libc.O.CREAT | libc.O.RDONLY, 0o600);
    if (fd < 0) return `the cache takes no file to try it with: ${errnoName(-fd)}`;
    try {
      const lease = libc.probeLease(fd, libc.F.WRLCK);
      if (lease < 0) return `no leases on the cache's disk: ${errnoName(-lease)}`;
      const id = session.openBacking(fd);
      if (id <= 0) return refusal(-id);
      session.closeBacking(id);
      return undefined;
    } finally {
      libc.close(fd);
      libc.unlink(path);
    }
  }

  /** The mount has ended. `released`: the kernel said goodbye, which it does after the last mapping. */
  end({ released }: { released: boolean }): void {
    if (released && !this.#inherited) this.#parts.database.setSetting(SETTING, undefined);
  }

  /** Lends the content file, for all handles of `file`. False: it cannot be lent now. */
  lend(file: FileState): boolean {
    if (file.backingId > 0) return true;
    const { id, incarnation } = file.inode;
    // For reading only, or this descriptor would pass for a writer when leases are probed.
    const fd = this.#parts.store.openForReading(id, incarnation);
    if (fd === undefined) return false;
    const backing = this.#parts.session().openBacking(fd);
    libc.close(fd);
    if (backing <= 0) return false;
    file.backingId = backing;
    this.open++;
    this.suspect(id);
    return true;
  }

  /** No handle is open any more. Mappings may live on. */
  giveBack(file: FileState): void {
    if (file.backingId === 0) return;
    this.#parts.session().closeBacking(file.backingId);
    file.backingId = 0;
    file.watchesAccess = false;
    this.open--;
  }

  /** Where the next read moves the access time, it is to be seen: the content file's own is set back. */
  watchAccess(file: FileState): void {
    if (file.watchesAccess || !accessIsDue(file.inode, this.#parts.clock)) return;
    const { store } = this.#parts;
    const content = store.open(file.inode.id, file.inode.incarnation, false);
    if (content === undefined) return;
    file.watchesAccess = libc.futimens(content.fd, { atime: NEVER }) === 0;
  }

  /** Whether somebody has read it since. The kernel asks for attributes after reads that pass us by. */
  lookForAccess(file: FileState): void {
    if (!file.watchesAccess) return;
    const content = this.#parts.store.open(file.inode.id, file.inode.incarnation, false);
    const status = content === undefined ? undefined : libc.fstat(content.fd);
    if (typeof status !== "object" || status.atime.seconds === NEVER.seconds) return;
    file.watchesAccess = false;
    this.#parts.accessed(file.inode, status.atime);
  }

  /** The file may be open or mapped outside of this isolate. */
  suspect(inode: number): void {
    this.#free?.delete(inode);
    this.#lent.add(inode);
    if (this.#lent.size <= REMEMBERED) return;
    this.#lent.clear();
    this.#free = new Set();
  }

  #mayBeUsed(inode: number): boolean {
    return this.#lent.has(inode) || (this.#free !== undefined && !this.#free.has(inode));
  }

  /** Whether programs may see the bytes of the content file themselves, now or through a mapping. */
  isLent(file: FileState): boolean {
    return file.backingId > 0 || !this.reclaim(file.inode);
  }

  /**
   * Asks whether nobody has the content file any more. For files without handles, or whose handles
   * were all opened visibly.
   */
  reclaim(inode: Inode): boolean {
    const { id, incarnation } = inode;
    if (!this.#mayBeUsed(id)) return true;
    if (!this.#parts.store.isUnused(id, incarnation, "anybody")) return false;
    this.#lent.delete(id);
    if (this.#free === undefined) return true;
    if (this.#free.size >= REMEMBERED) this.#free.clear();
    this.#free.add(id);
    return true;
  }
}

function refusal(errno: number): string {
  switch (errno) {
    case Errno.EPERM:
      return "passthrough needs root (CAP_SYS_ADMIN)";
    case Errno.ELOOP:
      return "the cache lies on a stacked file system, such as overlayfs";
    default:
      return `the kernel does not take content files: ${errnoName(errno)}`;
  }
}
