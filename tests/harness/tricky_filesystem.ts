/**
 * `MemoryFilesystem` with the two tricks a tiered file system needs, steered from the shell by extended
 * attributes: reads of a file with `user.slow` park until that attribute is removed (or their process
 * is signalled), and a file with `user.backing` is served by the kernel straight from the file whose
 * path it holds.
 */
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import {
  type DirectoryFiller,
  type GetxattrRequest,
  OpenFlag,
  type OpenReply,
  type OpenRequest,
  PARKED,
  type Parked,
  type ReaddirRequest,
  type ReadRequest,
  type ReleaseRequest,
} from "../../src/fuse/operations.ts";
import type { Session } from "../../src/fuse/session.ts";
import * as libc from "../../src/runtime/libc.ts";
import { MemoryFilesystem } from "./memory_filesystem.ts";

export class TrickyFilesystem extends MemoryFilesystem {
  session: Session | undefined;
  /** Told when a read parks, when it is interrupted, and when a listing begins. */
  tell: (line: string) => void = () => {};
  readonly #parked = new Map<number, ReadRequest>();
  readonly #backing = new Map<number, { fd: number; id: number; opens: number }>();

  override open(request: OpenRequest): OpenReply {
    const reply = super.open(request);
    const xattrs = this.nodes.get(request.inode)!.xattrs;
    if (xattrs.has("user.slow")) return { ...reply, flags: OpenFlag.DIRECT_IO };
    const path = xattrs.get("user.backing");
    return path === undefined ? reply : this.#openBacking(request, path);
  }

  override read(request: ReadRequest, into: Uint8Array): number | Parked {
    if (!this.nodes.get(request.inode)!.xattrs.has("user.slow")) return super.read(request, into);
    this.#parked.set(request.unique, request);
    this.tell(`parked ${this.#parked.size}`);
    return PARKED;
  }

  override release(request: ReleaseRequest): void {
    const backing = this.#backing.get(request.inode);
    if (backing === undefined || --backing.opens > 0) return;
    this.session!.closeBacking(backing.id);
    libc.close(backing.fd);
    this.#backing.delete(request.inode);
  }

  override readdir(request: ReaddirRequest, filler: DirectoryFiller): void {
    if (request.cookie === 0) this.tell("listed");
    super.readdir(request, filler);
  }

  override removexattr(request: GetxattrRequest): void {
    super.removexattr(request);
    const waiting = [...this.#parked.values()];
    this.#parked.clear();
    for (const read of waiting) this.session!.resume(read);
  }

  override interrupt(unique: number): void {
    const request = this.#parked.get(unique)!;
    this.#parked.delete(unique);
    this.session!.fail(request, Errno.EINTR);
    this.tell("interrupted");
  }

  #openBacking(request: OpenRequest, path: Uint8Array): OpenReply {
    let backing = this.#backing.get(request.inode);
    if (backing === undefined) {
      const fd = libc.open(path, libc.O.RDWR);
      if (fd < 0) throw new FsError(-fd);
      const id = this.session!.openBacking(fd);
      if (id < 0) {
        libc.close(fd);
        throw new FsError(-id);
      }
      backing = { fd, id, opens: 0 };
      this.#backing.set(request.inode, backing);
    }
    backing.opens++;
    return { handle: request.inode, flags: OpenFlag.PASSTHROUGH, backingId: backing.id };
  }
}
