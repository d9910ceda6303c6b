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
  /** How the program that opened it is treated; undefined: as everybody. */
  readonly treatment: Treatment | undefined;
  /** The journal knows that it has brought content back. */
  recalled: boolean;
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

  open(inode: Inode, flags: number, treatment?: Treatment): Handle {
    const file = this.#files.acquire(inode);
    const writes = (flags & O.ACCMODE) !== O.RDONLY;
    const handle: Handle = {
      id: this.#next++,
      file,
      flags,
      writes,
      lastIndex: -1,
      run: 0,
      treatment,
      recalled: false,
    };
    this.#handles.set(handle.id, handle);
    file.handles++;
    if (writes) file.writers++;
    return handle;
  }

  get(id: number): Handle {
    const handle = this.#handles.get(id);
    if (handle === undefined) throw new FsError(Errno.EBADF, `handle ${id} is not open`);
    return handle;
  }

  release(id: number): Handle {
    const handle = this.get(id);
    this.#handles.delete(id);
    handle.file.handles--;
    if (handle.writes) handle.file.writers--;
    return handle;
  }
}
