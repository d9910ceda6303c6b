/**
 * Content files: the local bytes of regular files, at the same offsets as in the file, sparse. Owns
 * their descriptors (a bounded cache) and paths; decides nothing. A file is opened by inode and
 * incarnation and never reused under another one. Whether bytes are valid is the working map's word.
 *
 * Errors of the disk are thrown as FsError with the disk's errno.
 */
import { Errno } from "../domain/errno.ts";
import { FsError, invariant } from "../domain/errors.ts";
import type { Timestamp } from "../runtime/clock.ts";
import { type Random, systemRandom } from "../runtime/random.ts";
import * as libc from "../runtime/libc.ts";
import { contentFolder, contentPath } from "./content_path.ts";

/** An open content file. `busy` counts who needs the descriptor to stay open. */
export interface ContentFile {
  readonly inode: number;
  readonly incarnation: number;
  fd: number;
  busy: number;
  /** To be closed when nobody needs it any more; it is not in the cache then. */
  doomed: boolean;
  /** Its directory entry was made durable during this mount. */
  entryDurable: boolean;
}

/** After a crash incarnations go on by one of so many steps, chosen anew for each mount. */
const INCARNATION_STEPS = 2 ** 20;
/** How much is looked at in one read. */
const PART_BYTES = 65_536;

const key = (inode: number, incarnation: number) => `${inode}.${incarnation}`;

/** A thrown errno for a negative result; the result otherwise. */
function checked(result: number, action: string): number {
  if (result < 0) throw new FsError(-result, `${action} a content file`);
  return result;
}

export class ContentStore {
  readonly directory: string;
  readonly #limit: number;
  /** In order of use, oldest first. */
  readonly #open = new Map<string, ContentFile>();
  readonly #step: number;
  readonly #part = new Uint8Array(PART_BYTES);
  /** Folders that are there, and those that are known to outlive a power cut. */
  readonly #made = new Set<string>();
  readonly #durable = new Set<string>();
  readonly #directoryFd: number;

  /** `afterCrash`: rows may have forgotten names that they had given. */
  constructor(
    directory: string,
    options: { openFiles: number; afterCrash?: boolean; random?: Random },
  ) {
    this.directory = directory;
    const chance = (options.random ?? systemRandom).fraction();
    this.#step = options.afterCrash ? 1 + Math.floor(chance * INCARNATION_STEPS) : 1;
    this.#limit = options.openFiles;
    this.#directoryFd = checked(libc.open(directory, libc.O.RDONLY | libc.O.DIRECTORY), "open");
  }

  /**
   * Names the content file after the one of an incarnation; 0: the first one. After a crash it is a name
   * that was not given before: files that no row names are removed, but a power cut can bring one back.
   */
  nextIncarnation(incarnation: number): number {
    return incarnation + this.#step;
  }

  path(inode: number, incarnation: number): string {
    return contentPath(this.directory, inode, incarnation);
  }

  /**
   * Directories whose sync makes the entry of the file durable: its folder's, and, before the first such
   * sync of this mount, those that lead there. `foldersSynced` says that it was done.
   */
  foldersOf(inode: number): string[] {
    const folder = contentFolder(inode);
    const path = `${this.directory}/${folder}`;
    if (this.#durable.has(folder)) return [path];
    return [path, `${this.directory}/${folder.slice(0, 2)}`, this.directory];
  }

  /** What `foldersOf` named is on the disk. */
  foldersSynced(inode: number): void {
    this.#durable.add(contentFolder(inode));
  }

  /** Opens the file, and makes it where `create`. Undefined where it does not exist. */
  open(inode: number, incarnation: number, create: boolean): ContentFile | undefined {
    invariant(incarnation > 0, () => `inode ${inode} has no content file yet`);
    const name = key(inode, incarnation);
    const known = this.#open.get(name);
    if (known !== undefined) {
      this.#open.delete(name);
      this.#open.set(name, known);
      return known;
    }
    const fd = this.#openFile(inode, incarnation, create ? libc.O.CREAT : 0);
    return fd === -Errno.ENOENT ? undefined : this.#keep({ inode, incarnation, fd });
  }

  /** Makes the file; what a crash has left under its name goes. It must not be open. */
  create(inode: number, incarnation: number): ContentFile {
    const flags = libc.O.CREAT | libc.O.EXCL;
    let fd = this.#openFile(inode, incarnation, flags);
    if (fd === -Errno.EEXIST) {
      this.remove(inode, incarnation);
      fd = this.#openFile(inode, incarnation, flags);
    }
    return this.#keep({ inode, incarnation, fd });
  }

  /** A descriptor or a negative errno. */
  #openFile(inode: number, incarnation: number, more: number): number {
    const path = this.path(inode, incarnation);
    const flags = libc.O.RDWR | libc.O.NOFOLLOW | more;
    const fd = libc.open(path, flags, 0o600);
    if (fd !== -Errno.ENOENT || (more & libc.O.CREAT) === 0) return fd;
    this.#makeFolder(inode);
    return libc.open(path, flags, 0o600);
  }

  #keep(
    { inode, incarnation, fd }: { inode: number; incarnation: number; fd: number },
  ): ContentFile {
    const file = {
      inode,
      incarnation,
      fd: checked(fd, "open"),
      busy: 0,
      doomed: false,
      entryDurable: false,
    };
    this.#open.set(key(inode, incarnation), file);
    this.#trim(file);
    return file;
  }

  /** Makes `aa/bb`. Not durably: who syncs the entry of a file in it syncs these, too. */
  #makeFolder(inode: number): void {
    const folder = contentFolder(inode);
    if (this.#made.has(folder)) return;
    for (const part of [folder.slice(0, 2), folder]) {
      const made = libc.mkdir(`${this.directory}/${part}`, 0o700);
      if (made < 0 && made !== -Errno.EEXIST) checked(made, "make a folder for");
    }
    this.#made.add(folder);
  }

  /** Closes what was not used for longest, but never `used`. */
  #trim(used: ContentFile): void {
    if (this.#open.size <= this.#limit) return;
    for (const [name, file] of this.#open) {
      if (file.busy > 0 || file === used) continue;
      this.#open.delete(name);
      libc.close(file.fd);
      if (this.#open.size <= this.#limit) return;
    }
  }

  /** Reads into all of `into`; bytes past the end of the content file come back as a smaller count. */
  read(file: ContentFile, into: Uint8Array, offset: number): number {
    let done = 0;
    while (done < into.length) {
      const n = checked(
        libc.pread(file.fd, done === 0 ? into : into.subarray(done), offset + done),
        "read",
      );
      if (n === 0) break;
      done += n;
    }
    return done;
  }

  /** Writes all of `from`. */
  write(file: ContentFile, from: Uint8Array, offset: number): void {
    let done = 0;
    while (done < from.length) {
      done += checked(
        libc.pwrite(file.fd, done === 0 ? from : from.subarray(done), offset + done),
        "write",
      );
    }
  }

  /**
   * Copies a range from one file to the same place in another: by reference where the disk can, otherwise
   * in the kernel. Bytes copied; fewer where `from` ends before.
   */
  copy(from: ContentFile, to: ContentFile, range: { offset: number; length: number }): number {
    let done = 0;
    while (done < range.length) {
      const n = checked(
        libc.copyFileRange(from.fd, to.fd, {
          offset: range.offset + done,
          length: range.length - done,
        }),
        "copy",
      );
      if (n === 0) break;
      done += n;
    }
    return done;
  }

  /** Whether a range reads as zeros; past the end of the content file everything does. */
  isZero(file: ContentFile, from: number, until: number): boolean {
    for (let at: number | undefined = from; at < until;) {
      at = this.nextData(file, at);
      if (at === undefined || at >= until) return true;
      const part = this.#part.subarray(0, Math.min(PART_BYTES, until - at));
      const count = this.read(file, part, at);
      if (count === 0) return true;
      for (let i = 0; i < count; i++) if (part[i] !== 0) return false;
      at += count;
    }
    return true;
  }

  /** Frees the bytes of a range; it reads as zeros. Never changes the length of the file. */
  punch(file: ContentFile, offset: number, length: number): void {
    const mode = libc.FALLOC.PUNCH_HOLE | libc.FALLOC.KEEP_SIZE;
    checked(libc.fallocate(file.fd, { mode, offset, length }), "punch");
  }

  /** Length of the content file in bytes. */
  length(file: ContentFile): number {
    const status = libc.fstat(file.fd);
    if (typeof status === "number") throw new FsError(-status, "stat a content file");
    return status.size;
  }

  truncate(file: ContentFile, size: number): void {
    checked(libc.ftruncate(file.fd, size), "truncate");
  }

  /** Keeps the descriptor open until `release`. */
  hold(file: ContentFile): void {
    file.busy++;
  }

  release(file: ContentFile): void {
    invariant(file.busy > 0, () => `content file of inode ${file.inode} is released twice`);
    if (--file.busy === 0 && file.doomed) libc.close(file.fd);
  }

  /** Lets go of the descriptor (as soon as nobody needs it), so that unlinked bytes do not live on. */
  close(inode: number, incarnation: number): void {
    const name = key(inode, incarnation);
    const file = this.#open.get(name);
    if (file === undefined) return;
    this.#open.delete(name);
    if (file.busy > 0) file.doomed = true;
    else libc.close(file.fd);
  }

  /** Makes sure that there is no such file: what a crash left under a name that is about to be used. */
  remove(inode: number, incarnation: number): void {
    this.close(inode, incarnation);
    const result = libc.unlink(this.path(inode, incarnation));
    if (result !== -Errno.ENOENT) checked(result, "remove what is left of");
  }

  /** A descriptor for reading, beside the cache and the caller's to close; undefined where there is no such file. */
  openForReading(inode: number, incarnation: number): number | undefined {
    const fd = libc.open(this.path(inode, incarnation), libc.O.RDONLY | libc.O.NOFOLLOW);
    return fd === -Errno.ENOENT ? undefined : checked(fd, "open");
  }

  /**
   * Whether no program has the file open or mapped (`writers`: through a descriptor that could write).
   * Lets go of our own descriptor first. False also where that is still needed, or cannot be known.
   */
  isUnused(inode: number, incarnation: number, by: "writers" | "anybody"): boolean {
    if (incarnation === 0) return true;
    this.close(inode, incarnation);
    const fd = this.openForReading(inode, incarnation);
    if (fd === undefined) return true;
    const probed = libc.probeLease(fd, by === "writers" ? libc.F.RDLCK : libc.F.WRLCK);
    libc.close(fd);
    return probed === 0;
  }

  /** When the content file was last changed, by whomever. */
  changedAt(file: ContentFile): Timestamp {
    const status = libc.fstat(file.fd);
    if (typeof status === "number") throw new FsError(-status, "stat a content file");
    return status.mtime;
  }

  /** Whether anything but a hole lies in [from, until); zeros that were written count. */
  hasData(file: ContentFile, from: number, until: number): boolean {
    const at = this.nextData(file, from);
    return at !== undefined && at < until;
  }

  /** Where the next data lies, at `from` or behind it; undefined where only holes follow. */
  nextData(file: ContentFile, from: number): number | undefined {
    const at = libc.lseek(file.fd, from, libc.SEEK.DATA);
    return at === -Errno.ENXIO ? undefined : checked(at, "look for data in");
  }

  /** Where the next hole lies, at `from` or behind it; the end of the file counts as one. */
  nextHole(file: ContentFile, from: number): number {
    const at = libc.lseek(file.fd, from, libc.SEEK.HOLE);
    return at === -Errno.ENXIO ? from : checked(at, "look for a hole in");
  }

  /** Free and total bytes of the disk that holds the content. */
  disk(): { free: number; total: number } {
    const volume = libc.fstatvfs(this.#directoryFd);
    if (typeof volume === "number") throw new FsError(-volume, "ask for the free space");
    return { free: volume.availableBytes, total: volume.totalBytes };
  }

  closeAll(): void {
    for (const file of this.#open.values()) libc.close(file.fd);
    this.#open.clear();
    libc.close(this.#directoryFd);
  }
}
