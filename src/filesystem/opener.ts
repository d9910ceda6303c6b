/** open, create and release of regular files. How an open is served is decided in serving.ts. */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import { OpenFlag, PARKED } from "../fuse/operations.ts";
import type { OpenReply, OpenRequest, Parked, ReleaseRequest } from "../fuse/operations.ts";
import { O } from "../runtime/libc_constants.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Handle, HandleTable } from "./handle_table.ts";
import { type Inode, isRegular } from "./inode.ts";
import type { Treatment } from "./reader_rules.ts";
import type { Resizer } from "./resizer.ts";
import { canStore, type Kind, Serving } from "./serving.ts";

export class Opener {
  readonly #core: Core;
  readonly #handles: HandleTable;
  readonly #resizer: Resizer;
  readonly #serving: Serving;
  /** Open handles of whose reading nothing is kept. */
  #streaming = 0;
  /** Told when the last handle of an inode is closed. */
  onClosed: (inode: Inode) => void = () => {};

  constructor(core: Core, parts: { handles: HandleTable; resizer: Resizer }) {
    this.#core = core;
    this.#handles = parts.handles;
    this.#resizer = parts.resizer;
    this.#serving = new Serving(core);
  }

  open(request: OpenRequest, inode: Inode): OpenReply | Parked {
    const core = this.#core;
    if (!isRegular(inode)) throw new FsError(Errno.EINVAL, "only regular files are opened here");
    const writes = (request.flags & O.ACCMODE) !== O.RDONLY;
    const truncates = (request.flags & O.TRUNC) !== 0;
    if (writes || truncates) core.requireWritable();
    const treatment = this.#treat(request, inode, writes || truncates);
    if (treatment?.recall === "deny" && !truncates && inode.resident < inode.allocated) {
      core.uses.read(inode, treatment);
      throw new FsError(
        Errno.EACCES,
        `the policy keeps ${treatment.program} from recalling content`,
      );
    }
    const file = core.files.acquire(inode);
    try {
      if (truncates) {
        const parked = this.#resizer.resize(request, file, 0);
        if (parked !== undefined) return parked;
      }
      const kind = this.#serving.choose(request, file, request.flags);
      return kind === PARKED ? PARKED : this.#reply(inode, request.flags, { treatment, kind });
    } finally {
      core.files.dropIfIdle(file);
    }
  }

  /** As the rules say; where none names the program, scanners are recognized by what they do. */
  #treat(request: OpenRequest, inode: Inode, writes: boolean): Treatment | undefined {
    const { readers, scanners } = this.#core;
    const treatment = readers.treat(request.pid);
    if (writes || treatment?.named) return treatment;
    const program = scanners.opens(request.pid, inode);
    if (program === undefined) return treatment;
    return { program, recall: "stream", counts: false, named: false };
  }

  /** The first handle of a file that has just been made. */
  created(inode: Inode, flags: number, treatment?: Treatment): OpenReply {
    this.#core.dirtyNews.tell();
    this.#serving.keep(inode.id);
    const reply = this.#reply(inode, flags, { treatment, kind: this.#serving.visibly(flags) });
    this.#core.files.peek(inode.id)!.incapable = true;
    return reply;
  }

  /** A new handle. Read-only ones have nothing to flush. */
  #reply(
    inode: Inode,
    flags: number,
    { treatment, kind }: { treatment: Treatment | undefined; kind: Kind },
  ): OpenReply {
    const core = this.#core;
    const handle = this.#handles.open(inode, flags, core.clock.wallMs(), treatment);
    const { file } = handle;
    if (treatment?.recall === "stream") this.#streaming++;
    let open = this.#serving.begin(file, flags, kind);
    if (file.serving === "passthrough" && canStore(flags)) {
      handle.storesUnseen = true;
      core.unseen.opened(inode);
    }
    if (!handle.writes) open |= OpenFlag.NOFLUSH;
    else if (inode.dirty === false) core.emit({ event: "changed", inode: inode.id });
    if (handle.writes) core.uses.write(inode, treatment);
    else core.uses.read(inode, treatment);
    return { handle: handle.id, flags: open, backingId: file.backingId };
  }

  release(request: ReleaseRequest): void {
    const core = this.#core;
    const handle = this.#handles.release(request.handle);
    const { file, writes, treatment } = handle;
    if (treatment?.recall === "stream" && --this.#streaming === 0) core.streams.clear();
    // What was read in between nobody has seen.
    if (file.serving === "passthrough") core.lending.lookForAccess(file);
    // Nor are reads counted where they are seen: how a file is served must not make it hotter.
    if (writes) core.uses.write(file.inode, treatment);
    else core.uses.read(file.inode, treatment);
    // An access time alone is written with others.
    if (writes || file.pendingRows.size > 0) this.#flush(file);
    this.#closed(handle);
    if (file.handles === 0) file.touched.clear();
    if (writes && file.writers === 0) {
      file.truncated = false;
      if (file.inode.dirty) this.#core.dirtyNews.tell();
    }
    if (file.handles === 0) this.onClosed(file.inode);
    core.files.dropIfIdle(file);
  }

  #closed({ file, storesUnseen }: Handle): void {
    if (file.handles === 0) this.#serving.end(file);
    if (storesUnseen) this.#core.unseen.closed(file.inode);
  }

  /** close(2) has told of a full disk. What cannot be written now is tried again every second. */
  #flush(file: FileState): void {
    try {
      this.#core.flush(file);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#core.space.forgetReading();
    }
  }

  /** Takes back a handle that nobody has heard of. */
  forget(handle: number): void {
    const released = this.#handles.release(handle);
    const { file, treatment } = released;
    if (treatment?.recall === "stream") this.#streaming--;
    this.#closed(released);
    this.#core.files.dropIfIdle(file);
  }

  isBeingWritten(inode: number): boolean {
    const file = this.#core.files.peek(inode);
    return file !== undefined && file.writers > 0 && file.serving !== "passthrough";
  }

  isOpen(inode: number): boolean {
    const file: FileState | undefined = this.#core.files.peek(inode);
    return file !== undefined && file.handles > 0;
  }
}
