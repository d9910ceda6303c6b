/**
 * Brings the bytes of regular files together: from the content files of a cache, from the bucket, and from
 * parts that an interrupted export left behind, which are believed only where their hash is right. Owns the
 * open parts. A file gets its name only when all its bytes are there.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { UserError } from "../domain/errors.ts";
import { contentPath } from "../content/content_path.ts";
import { chunkId, isAllZero } from "../format/codec.ts";
import type { TreeEntry, WorkingPiece } from "../metadata/tree_reader.ts";
import * as libc from "../runtime/libc.ts";
import { ChunkFetch } from "../tiering/chunk_fetch.ts";
import type { ExportSource } from "./export_source.ts";

/** Rows that are read at once. */
const PAGE_CHUNKS = 64;
/** Parts that are open at a time; then what was asked for is waited for. */
const OPEN_PARTS = 200;
/** What is looked at for zeros, which are left out: the block of most file systems. */
const BLOCK = 4096;

/** A file whose bytes are coming together. */
export interface Gathering {
  entry: TreeEntry;
  /** Where its bytes are until it gets its name. */
  part: Uint8Array;
  incarnation: number;
}

interface Open extends Gathering {
  /** Of the part; undefined: not opened yet, so that thousands of small files do not hold one each. */
  fd: number | undefined;
  /** What an interrupted export had written before; zeros need not be written where there was nothing. */
  resumed: boolean;
  /** Chunks that are on their way. */
  waiting: number;
  /** No more chunks will be asked for. */
  asked: boolean;
  failed: string | undefined;
}

export interface ContentOptions {
  source: ExportSource;
  /** Downloads at a time. */
  parallel: number;
  signal?: AbortSignal;
  /** All bytes of a file are in its part, which is closed. */
  complete: (file: Gathering) => void;
  /** It cannot be put together; its part is gone. */
  failed: (file: Gathering, reason: string) => void;
}

export class ExportContent {
  readonly #options: ContentOptions;
  readonly #fetch: ChunkFetch<{ file: Open; piece: WorkingPiece }>;
  readonly #parts = new Set<Open>();
  /** Bytes that were written. */
  bytes = 0;

  constructor(options: ContentOptions) {
    const { source, parallel, signal } = options;
    this.#options = options;
    this.#fetch = new ChunkFetch({
      store: source.store,
      secrets: source.secrets,
      parallel,
      signal,
      take: ({ file, piece }, plain) => {
        if (file.failed === undefined) this.#write(file, piece, plain.subarray(0, piece.valid));
        this.#arrived(file);
      },
      failed: ({ file }, error) => {
        file.failed ??= error.message;
        this.#arrived(file);
      },
    });
  }

  /** Bytes that came from the bucket. */
  get downloaded(): number {
    return this.#fetch.bytes;
  }

  /** Asks for all bytes of a file; resolves when the next one may be asked for. */
  async gather(file: Gathering): Promise<void> {
    if (this.#parts.size >= OPEN_PARTS) await this.#fetch.finish();
    const open: Open = {
      ...file,
      fd: undefined,
      resumed: false,
      waiting: 0,
      asked: false,
      failed: undefined,
    };
    // A single chunk is as quickly had anew.
    if (file.entry.size > this.#options.source.chunkSize) {
      const status = libc.fstat(this.#part(open));
      open.resumed = typeof status !== "number" && status.size > 0;
    }
    const local = this.#openLocal(open);
    try {
      for await (const piece of this.#pieces(file.entry.inode)) {
        if (open.failed !== undefined) break;
        await this.#piece(open, piece, local);
      }
    } finally {
      if (local >= 0) libc.close(local);
    }
    open.asked = true;
    if (open.waiting === 0) this.#finish(open);
  }

  /** Whether what lies under a path has the bytes of a file. */
  async holds(path: Uint8Array, file: Omit<Gathering, "part">): Promise<boolean> {
    const fd = libc.open(path, libc.O.RDONLY | libc.O.NOFOLLOW);
    if (fd < 0) return false;
    const local = this.#openLocal(file);
    try {
      for await (const piece of this.#pieces(file.entry.inode)) {
        const offset = piece.index * this.#options.source.chunkSize;
        const found = read(fd, { offset, length: piece.valid });
        const right = piece.bucket === undefined
          ? same(found, read(local, { offset, length: piece.valid }))
          : piece.bucket.length !== piece.valid || this.#matches(found, piece);
        if (!right) return false;
      }
      return true;
    } finally {
      libc.close(fd);
      if (local >= 0) libc.close(local);
    }
  }

  /** Resolves when all files that were gathered are complete, or have failed. */
  finish(): Promise<void> {
    return this.#fetch.finish();
  }

  /** Waits until nothing runs any more, however it went, and closes what is open. */
  async settled(): Promise<void> {
    await this.#fetch.settled();
    for (const file of this.#parts) this.#close(file);
  }

  async *#pieces(inode: number): AsyncIterable<WorkingPiece> {
    for (let after = -1;;) {
      const pieces = this.#options.source.pieces(inode, { after, limit: PAGE_CHUNKS });
      yield* pieces;
      if (pieces.length < PAGE_CHUNKS) return;
      after = pieces[pieces.length - 1].index;
    }
  }

  /** The content file of a cache; negative where there is none. */
  #openLocal({ entry, incarnation }: Omit<Gathering, "part">): number {
    const { content } = this.#options.source;
    if (content === undefined || incarnation === 0) return -Errno.ENOENT;
    const { inode } = entry;
    return libc.open(contentPath(content, inode, incarnation), libc.O.RDONLY | libc.O.NOFOLLOW);
  }

  async #piece(file: Open, piece: WorkingPiece, local: number): Promise<void> {
    const range = { offset: piece.index * this.#options.source.chunkSize, length: piece.valid };
    if (file.resumed && this.#matches(read(this.#part(file), range), piece)) return;
    if (piece.resident) {
      const bytes = read(local, range);
      // Bytes that are here and rotten are in the bucket, too.
      if (
        piece.bucket === undefined || piece.bucket.length !== piece.valid ||
        this.#matches(bytes, piece)
      ) {
        if (bytes !== undefined) return this.#write(file, piece, bytes);
      }
    }
    if (piece.bucket === undefined) {
      file.failed ??=
        `bytes from ${range.offset} on were never uploaded, and the cache has lost them`;
      return;
    }
    file.waiting++;
    await this.#fetch.add(piece.bucket, { file, piece });
  }

  /** Whether these are the bytes of a chunk that the bucket has; never where it has none, or cut ones. */
  #matches(bytes: Uint8Array | undefined, { bucket, valid }: WorkingPiece): boolean {
    if (bytes === undefined || bucket === undefined || bucket.length !== valid) return false;
    return same(chunkId(bytes, this.#options.source.secrets), bucket.hash);
  }

  #write(file: Open, piece: WorkingPiece, bytes: Uint8Array): void {
    const start = piece.index * this.#options.source.chunkSize;
    const fd = this.#part(file);
    for (let at = 0; at < bytes.length;) {
      const end = file.resumed ? bytes.length : endOfData(bytes, at);
      while (at < end) {
        at += mustWrite(file.part, libc.pwrite(fd, bytes.subarray(at, end), start + at));
      }
      while (at < bytes.length && isAllZero(bytes.subarray(at, at + BLOCK))) {
        at = Math.min(at + BLOCK, bytes.length);
      }
    }
    this.bytes += bytes.length;
  }

  #arrived(file: Open): void {
    file.waiting--;
    if (file.asked && file.waiting === 0) this.#finish(file);
  }

  /** The part, opened and (where it was not resumed) empty. */
  #part(file: Open): number {
    if (file.fd === undefined) {
      const flags = libc.O.RDWR | libc.O.CREAT | libc.O.NOFOLLOW;
      const cut = file.entry.size > this.#options.source.chunkSize ? 0 : libc.O.TRUNC;
      file.fd = mustWrite(file.part, libc.open(file.part, flags | cut, 0o600));
      this.#parts.add(file);
    }
    return file.fd;
  }

  #close(file: Open): void {
    if (file.fd !== undefined) libc.close(file.fd);
    this.#parts.delete(file);
  }

  #finish(file: Open): void {
    const { complete, failed } = this.#options;
    if (file.failed === undefined) {
      mustWrite(file.part, libc.ftruncate(this.#part(file), file.entry.size));
      this.#close(file);
      return complete(file);
    }
    this.#close(file);
    libc.unlink(file.part);
    failed(file, file.failed);
  }
}

/** Where the next block of zeros begins, from a block that is none. */
function endOfData(bytes: Uint8Array, from: number): number {
  let end = from;
  while (end < bytes.length && !isAllZero(bytes.subarray(end, end + BLOCK))) end += BLOCK;
  return Math.min(end, bytes.length);
}

/** Undefined where they are not all there. */
function read(
  fd: number,
  range: { offset: number; length: number },
): Uint8Array<ArrayBuffer> | undefined {
  if (fd < 0) return undefined;
  const bytes = new Uint8Array(range.length);
  for (let at = 0; at < bytes.length;) {
    const got = libc.pread(fd, bytes.subarray(at), range.offset + at);
    if (got <= 0) return undefined;
    at += got;
  }
  return bytes;
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** Nothing can be put together where nothing can be written. */
function mustWrite(path: Uint8Array, result: number): number {
  if (result >= 0) return result;
  throw new UserError(
    `${new TextDecoder().decode(path)} cannot be written: ${errnoName(-result)}`,
    {
      hint: "make room, or look at that disk; the same command goes on from there",
    },
  );
}
