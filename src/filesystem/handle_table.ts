/** Open file descriptions: what the kernel calls file handles. Owns their numbers and counts. */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import { O } from "../runtime/libc_constants.ts";
import type { FileState, FileTable } from "./file_state.ts";
import type { Inode } from "./inode.ts";
import type { Treatment } from "./reader_rules.ts";

export interface Handle {
  readonly id: number;
  readonly file: FileState;
  /** O_* flags of open(2). */
  readonly flags: number;
  readonly writes: boolean;
  /** Last chunk that was read, -1 at first, and for how many chunks it went straight on. */
  lastIndex: number;
  run: number;
  /** Where its last read ended, and how many bytes before that it had read straight on. */
  until: number;
  straight: number;
  /** How the program that opened it is treated; undefined: as everybody. */
  readonly treatment: Treatment | undefined;
  /** The journal knows that it has brought content back. */
  recalled: boolean;
  /** The content that it was opened on is not shown any more. */
  stale: boolean;
  /** A program can store through a mapping of it without a request. */
  storesUnseen: boolean;
}

export class HandleTable {
  readonly #files: FileTable;
  readonly #handles = new Map<number, Handle>();
  #next = 1;

  constructor(files: FileTable) {
    this.#files = files;
  }

  get size(): number {
    return this.#handles.size;
  }

  /** `nowMs`: wall clock, milliseconds. */
  open(inode: Inode, flags: number, nowMs: number, treatment?: Treatment): Handle {
    const file = this.#files.acquire(inode);
    const writes = (flags & O.ACCMODE) !== O.RDONLY;
    const handle: Handle = {
      id: this.#next++,
      file,
      flags,
      writes,
      lastIndex: -1,
      run: 0,
      until: -1,
      straight: 0,
      treatment,
      recalled: false,
      stale: false,
      storesUnseen: false,
    };
    this.#handles.set(handle.id, handle);
    file.handles++;
    if (writes && file.writers++ === 0) file.writingSinceMs = nowMs;
    return handle;
  }

  /** ESTALE: what it was opened on has been replaced by another mount. */
  get(id: number): Handle {
    const handle = this.#find(id);
    if (handle.stale) throw new FsError(Errno.ESTALE, "the file was changed by another mount");
    return handle;
  }

  #find(id: number): Handle {
    const handle = this.#handles.get(id);
    if (handle === undefined) throw new FsError(Errno.EBADF, `handle ${id} is not open`);
    return handle;
  }

  /** The content of a file has become another: whoever has it open must open it anew. */
  expire(file: FileState): void {
    if (file.handles === 0) return;
    for (const handle of this.#handles.values()) if (handle.file === file) handle.stale = true;
  }

  release(id: number): Handle {
    const handle = this.#find(id);
    this.#handles.delete(id);
    handle.file.handles--;
    if (handle.writes) handle.file.writers--;
    return handle;
  }
}
