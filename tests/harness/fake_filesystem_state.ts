/**
 * What the fake filesystem isolate (fake_filesystem_port.ts) holds, and what programs do on its mount:
 * files in chunks, with the rules of the working map. Content may be left out where a test's own
 * compute port makes it up.
 */
import type { SortedFile } from "../../src/metadata/usage_table.ts";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { ChunkLocation, FilesystemEvent } from "../../src/filesystem/protocol.ts";
import type { Clock } from "../../src/runtime/clock.ts";

export interface FakeChunk {
  length: number;
  generation: number;
  /** Row id of the confirmed chunk; undefined: local only. */
  chunk: number | undefined;
  /** Undefined: not resident, or made up by a test's own compute port. */
  bytes: Uint8Array | undefined;
  resident: boolean;
}

export interface FakeFile {
  inode: number;
  generation: number;
  size: number;
  changedMs: number;
  lastUsedMs: number;
  writers: number;
  handles: number;
  dirty: boolean;
  pinned: boolean;
  /** Class local. */
  kept: boolean;
  path: string;
  /** Where the engine has put it, and what it looked like then. */
  sorted: (Omit<SortedFile, "inode" | "stamp"> & { looks: string }) | undefined;
  gone: boolean;
  /** Generation of the saved version. */
  saved: number | undefined;
  chunks: Map<number, FakeChunk>;
}

export interface FakePack {
  name: Uint8Array;
  versionId: string;
  bytes: number;
  verified: boolean;
}

export class FakeFilesystemState {
  readonly files = new Map<number, FakeFile>();
  /** Snapshots, by the inode that they are read under. */
  readonly shadows = new Map<number, FakeFile>();
  readonly packs: FakePack[] = [];
  readonly locations: ChunkLocation[] = [];
  readonly marks = { target: 1e12, high: 1e12, low: 1e12, hard: 1e12 };
  waiting = 0;
  reserved = 0;
  /** Dirty files. */
  protected dirty = 0;
  protected readonly clock: Clock;
  protected readonly chunkSize: number;
  readonly #listeners = new Set<(event: FilesystemEvent) => void>();
  #generation = 1;

  constructor(options: { clock: Clock; chunkSize: number }) {
    this.clock = options.clock;
    this.chunkSize = options.chunkSize;
  }

  subscribe(listener: (event: FilesystemEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Writes the whole content of a file, as one program does that opens, writes and closes. */
  write(inode: number, content: Uint8Array): FakeFile {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < content.length; at += this.chunkSize) {
      pieces.push(content.subarray(at, at + this.chunkSize));
    }
    const file = this.#touch(inode);
    file.size = content.length;
    file.chunks.clear();
    pieces.forEach((piece, index) =>
      this.#put(file, index, { bytes: piece, length: piece.length })
    );
    return file;
  }

  /** Writes one chunk of a file; without bytes, of a length only. */
  writeChunk(inode: number, index: number, content: Uint8Array | number): FakeFile {
    const file = this.#touch(inode);
    const bytes = typeof content === "number" ? undefined : content;
    const length = typeof content === "number" ? content : content.length;
    file.size = Math.max(file.size, index * this.chunkSize + length);
    this.#put(file, index, { bytes, length });
    return file;
  }

  openForWriting(inode: number): void {
    const file = this.file(inode);
    file.writers++;
    file.handles++;
    this.emit({ event: "changed", inode });
  }

  closeWriter(inode: number): void {
    const file = this.file(inode);
    file.writers--;
    file.handles--;
  }

  unlink(inode: number): void {
    const file = this.file(inode);
    if (file.dirty) this.dirty--;
    file.gone = true;
    this.files.delete(inode);
  }

  /** A reader, or readahead, wants an absent chunk. */
  wantChunk(
    inode: number,
    index: number,
    urgency: "reader" | "ahead" | "bulk" = "reader",
  ): void {
    const chunk = this.file(inode).chunks.get(index);
    assert.ok(chunk !== undefined && !chunk.resident && chunk.chunk !== undefined);
    const location = this.locations[chunk.chunk - 1];
    this.emit({
      event: "recall",
      inode,
      incarnation: 1,
      index,
      length: chunk.length,
      location,
      urgency,
    });
  }

  file(inode: number): FakeFile {
    const file = this.files.get(inode);
    assert.ok(file !== undefined, `no inode ${inode}`);
    return file;
  }

  /** All saved, nothing dirty. */
  get clean(): boolean {
    return this.dirty === 0;
  }

  get used(): number {
    let bytes = this.reserved;
    for (const file of this.files.values()) bytes += residentBytes(file);
    return bytes;
  }

  emit(event: FilesystemEvent): void {
    for (const listener of [...this.#listeners]) listener(structuredClone(event));
  }

  #touch(inode: number): FakeFile {
    const wasClean = this.clean;
    const nowMs = Math.floor(this.clock.wallMs());
    let file = this.files.get(inode);
    if (file === undefined) {
      file = {
        inode,
        generation: 0,
        size: 0,
        changedMs: nowMs,
        lastUsedMs: nowMs,
        writers: 0,
        handles: 0,
        dirty: false,
        pinned: false,
        kept: false,
        path: `/file${inode}`,
        sorted: undefined,
        gone: false,
        saved: undefined,
        chunks: new Map(),
      };
      this.files.set(inode, file);
    }
    file.generation = ++this.#generation;
    file.changedMs = nowMs;
    file.lastUsedMs = nowMs;
    if (!file.dirty) this.dirty++;
    file.dirty = true;
    if (wasClean) this.emit({ event: "dirty" });
    this.emit({ event: "changed", inode });
    return file;
  }

  #put(file: FakeFile, index: number, content: { bytes?: Uint8Array; length: number }): void {
    file.chunks.set(index, {
      length: content.length,
      bytes: content.bytes,
      generation: ++this.#generation,
      chunk: undefined,
      resident: true,
    });
  }

  protected packOf(chunk: number): FakePack {
    const { pack } = this.locations[chunk - 1];
    return this.packs.find(({ name }) => Buffer.from(name).equals(pack))!;
  }
}

export function charge(length: number): number {
  return Math.ceil(length / 4096) * 4096;
}

export function residentBytes(file: FakeFile): number {
  let bytes = 0;
  for (const chunk of file.chunks.values()) if (chunk.resident) bytes += charge(chunk.length);
  return bytes;
}

export function localBytes(file: FakeFile): number {
  let bytes = 0;
  for (const chunk of file.chunks.values()) {
    if (chunk.chunk === undefined) bytes += charge(chunk.length);
  }
  return bytes;
}
