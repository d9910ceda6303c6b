/**
 * The channel to the kernel: one request per read, one reply per write, never blocking. Owns the
 * descriptor of /dev/fuse once constructed; knows nothing of what the bytes mean.
 */
import * as libc from "../runtime/libc.ts";
import { BACKING_CLOSE, BACKING_OPEN } from "./abi.ts";

export interface Device {
  /** Readable (poll) when a request waits. */
  readonly fd: number;
  /** Takes one request; its length, or a negative errno (EAGAIN: none waits; ENODEV: unmounted). */
  read(into: Uint8Array): number;
  /** Sends the first `length` bytes of `from` as one message; 0 or more, or a negative errno. */
  write(from: Uint8Array, length: number): number;
  /** Registers an open file for FOPEN_PASSTHROUGH; its id (> 0), or a negative errno (EPERM, ELOOP, …). */
  openBacking(fd: number): number;
  /** Gives back the id of `openBacking`; 0, or a negative errno. */
  closeBacking(id: number): number;
  /** Closes the descriptor. Where it is the last one, the kernel ends the connection. */
  close(): void;
}

export class KernelDevice implements Device {
  readonly #backing = new Uint8Array(16);
  readonly #view = new DataView(this.#backing.buffer);

  /** `fd` must be non-blocking, as `mount` returns it. */
  constructor(readonly fd: number) {}

  read(into: Uint8Array): number {
    return libc.read(this.fd, into);
  }

  write(from: Uint8Array, length: number): number {
    return libc.write(this.fd, from, length);
  }

  openBacking(fd: number): number {
    // struct fuse_backing_map: int32 fd, uint32 flags, uint64 padding; all zero but the descriptor.
    this.#backing.fill(0);
    this.#view.setInt32(0, fd, true);
    return libc.ioctl(this.fd, BACKING_OPEN, this.#backing);
  }

  closeBacking(id: number): number {
    this.#view.setUint32(0, id, true);
    return libc.ioctl(this.fd, BACKING_CLOSE, this.#backing);
  }

  close(): void {
    libc.close(this.fd);
  }
}
