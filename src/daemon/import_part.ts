/**
 * A file that an import has begun to copy: where its bytes gather, and how far they have come, so that an
 * interrupted copy of a large file goes on where it was. Owns the part and the note beside it.
 *
 * The note never says more than is durable: bytes are written in ascending order and synced before it is
 * written. So whatever a crash, a power cut or a recovery from the bucket leaves of both, a part that is
 * as long as the note says has the bytes that it says. It holds for the very same source only: what was
 * written to since has another ctime.
 */
import * as libc from "../runtime/libc.ts";

/** A copy is noted so many bytes after the last note: what a crash makes it read again, and a sync each. */
const NOTE_BYTES = 256 * 1024 ** 2;
/** Less than this is as quickly copied anew. */
const WORTH_BYTES = 16 * 1024 ** 2;

export class ImportPart {
  readonly path: Uint8Array;
  readonly #note: string;
  readonly #worthBytes: number;
  /** What is copied, so that it is known again. */
  #source = "";
  /** Up to which byte of the source the part has it, and up to which a note says so. */
  #copied = 0;
  #noted = 0;

  /** `worthBytes`: what less than that is copied of is not kept. */
  constructor(path: Uint8Array, { worthBytes = WORTH_BYTES } = {}) {
    this.path = path;
    this.#note = `${new TextDecoder().decode(path)}.note`;
    this.#worthBytes = worthBytes;
  }

  /**
   * The part, opened for writing, and the offset from which bytes are missing; or a negative errno.
   * `source`: as it is before anything of it is read.
   */
  open(
    { device, inode, size, mtime, ctime }: libc.FileStatus,
  ): { fd: number; from: number } | number {
    this.#source = JSON.stringify({ device, inode, size, mtime, ctime });
    const flags = libc.O.WRONLY | libc.O.CREAT | libc.O.NOFOLLOW;
    const fd = libc.open(this.path, flags, 0o600);
    if (fd < 0) return fd;
    const noted = this.#read();
    const there = libc.fstat(fd);
    const from = typeof there !== "number" && there.size >= noted ? noted : 0;
    // Without whatever came behind it and is not known to be complete.
    const cut = libc.ftruncate(fd, from);
    if (cut < 0) {
      libc.close(fd);
      return cut;
    }
    this.#copied = this.#noted = from;
    return { fd, from };
  }

  /** The part has all bytes before `until`; that is noted now and then. */
  reached(fd: number, until: number): void {
    this.#copied = until;
    if (until - this.#noted >= NOTE_BYTES) this.note(fd);
  }

  /**
   * Notes how far it is, where that is worth it. Where it cannot be noted, on a full disk, an earlier note
   * holds, or none: then more of it is copied again.
   */
  note(fd: number): void {
    const until = this.#copied;
    if (until - this.#noted < this.#worthBytes || libc.fsync(fd) < 0) return;
    const beside = `${this.#note}.new`;
    const flags = libc.O.WRONLY | libc.O.CREAT | libc.O.TRUNC | libc.O.NOFOLLOW;
    const note = libc.open(beside, flags, 0o600);
    if (note < 0) return;
    const text = new TextEncoder().encode(JSON.stringify({ source: this.#source, until }));
    const written = libc.write(note, text);
    libc.close(note);
    if (written === text.length && libc.rename(beside, this.#note) >= 0) this.#noted = until;
  }

  #read(): number {
    try {
      const { source, until } = JSON.parse(Deno.readTextFileSync(this.#note));
      return source === this.#source && Number.isSafeInteger(until) && until > 0 ? until : 0;
    } catch (error) {
      // None was written, or a power cut has left nothing of it.
      if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return 0;
      throw error;
    }
  }

  /** Nothing of it is left but what has got its name. */
  remove(): void {
    libc.unlink(this.path);
    libc.unlink(this.#note);
  }

  /** The copy was interrupted: what was noted stays for the next one. */
  leave(): void {
    if (this.#noted === 0) this.remove();
  }
}
