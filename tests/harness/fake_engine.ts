/**
 * The engine and its bucket in memory, moved by the test one step at a time: reads dirty chunks now,
 * stages them later (or never), saves, evicts, spills; answers recalls when and how it is told. Speaks
 * only the commands and events of the protocol. Promises nothing of its own.
 */
import { createHash } from "node:crypto";
import type { CommandRunner } from "../../src/filesystem/commands.ts";
import type {
  Commands,
  FilesystemEvent,
  Placement,
  Refusal,
} from "../../src/filesystem/protocol.ts";

export type RecallEvent = Extract<FilesystemEvent, { event: "recall" }>;

/** Chunks that were read for upload and are not staged yet. */
export interface Upload {
  inode: number;
  generation: number;
  chunks: { index: number; generation: number; length: number; bytes: Uint8Array }[];
}

const hex = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export class FakeEngine {
  /** Plain bytes by hash: what the bucket holds. Survives every crash of the file system. */
  readonly bucket: Map<string, Uint8Array>;
  /** Recalls that were asked for and not answered, in order. */
  readonly recalls: RecallEvent[] = [];
  readonly events: FilesystemEvent[] = [];
  /** What commands have failed with, later than they could throw. */
  readonly errors: unknown[] = [];
  readonly #chunkSize: number;
  #run: CommandRunner | undefined;
  #packs = 0;

  constructor(options: { chunkSize: number; bucket?: Map<string, Uint8Array> }) {
    this.#chunkSize = options.chunkSize;
    this.bucket = options.bucket ?? new Map();
  }

  attach(runner: CommandRunner): void {
    this.#run = runner;
  }

  hear(event: FilesystemEvent): void {
    this.events.push(event);
    if (event.event === "recall") this.recalls.push(event);
    if (event.event === "recallCancelled") {
      const at = this.recalls.findIndex(({ inode, incarnation, index }) =>
        inode === event.inode && incarnation === event.incarnation && index === event.index
      );
      // A cancelled recall may still be on its way: it stays in half of the cases.
      if (at >= 0 && event.index % 2 === 0) this.recalls.splice(at, 1);
    }
  }

  /** Asks; `later` is called with the answer, at once or when work is done. */
  ask<K extends keyof Commands>(
    command: K,
    argument: Commands[K][0],
    later: (result: Commands[K][1]) => void,
  ): void {
    this.#run!.run(command, argument, {
      answer: later as (result: unknown) => void,
      fail: (error) => this.errors.push(error),
    });
  }

  /** Asks what is answered at once. */
  call<K extends keyof Commands>(command: K, argument: Commands[K][0]): Commands[K][1] {
    let answered = false;
    let result: Commands[K][1] | undefined;
    this.ask(command, argument, (value) => {
      answered = true;
      result = value;
    });
    if (!answered) throw new Error(`${command} is not answered yet`);
    return result as Commands[K][1];
  }

  /** Reads the dirty chunks of a file that are durable, once they are. Undefined: gone or clean. */
  read(inode: number, later: (upload: Upload | undefined) => void): void {
    this.ask("dirtyChunks", { inode, from: 0, limit: 10_000 }, (page) => {
      if (page === undefined) return later(undefined);
      const read = page.chunks.map((chunk) => ({
        ...chunk,
        bytes: readRange(page.path, chunk.index * this.#chunkSize, chunk.length),
      }));
      const chunks = read.filter(({ bytes, length }) => bytes.length === length);
      later({ inode, generation: page.generation, chunks });
    });
  }

  /** Uploads what was read, and binds it. */
  stage(
    upload: Upload,
    { verified = true, later = () => {} }: {
      verified?: boolean;
      later?: (placed: (true | Refusal)[]) => void;
    } = {},
  ): void {
    const placements: Placement[] = [];
    const chunks: NonNullable<Commands["stage"][0]["pack"]>["chunks"] = [];
    let offset = 0;
    for (const { index, generation, length, bytes } of upload.chunks) {
      const place = { inode: upload.inode, index, generation, length };
      if (bytes.every((byte) => byte === 0)) {
        placements.push({ ...place, source: { kind: "zero" } });
        continue;
      }
      const hash = new Uint8Array(createHash("sha256").update(bytes).digest());
      this.bucket.set(hex(hash), bytes);
      placements.push({ ...place, source: { kind: "pack", ordinal: chunks.length } });
      chunks.push({ hash, offset, stored: length, length, codec: 0 });
      offset += length;
    }
    if (placements.length === 0) return later([]);
    const name = new Uint8Array(16);
    crypto.getRandomValues(name);
    const versionId = `v${++this.#packs}`;
    const pack = { name, versionId, bytes: offset, verified, chunks };
    const argument = { ...(chunks.length > 0 ? { pack } : {}), placements };
    this.ask("stage", argument, ({ placed }) => later(placed));
  }

  /** Reads, stages and saves in one go, as fast as the disk lets it. `later`: the answer of save. */
  save(
    inode: number,
    { verified, later = () => {} }: {
      verified?: boolean;
      later?: (answer: true | Refusal | undefined) => void;
    } = {},
  ): void {
    this.read(inode, (upload) => {
      if (upload === undefined) return later(undefined);
      const { generation } = upload;
      const saved = ([answer]: (true | Refusal)[]) => later(answer);
      this.stage(upload, {
        verified,
        later: () => this.ask("save", { files: [{ inode, generation }] }, saved),
      });
    });
  }

  /** Evicts one file; bytes, or why not. */
  evict(inode: number): number | Refusal {
    const generation = this.call("residency", { inode })?.generation ?? 0;
    let result: number | Refusal = 0;
    this.ask("evict", { files: [{ inode, generation }] }, ([answer]) => result = answer);
    return result;
  }

  /** Brings the bytes of a recall. False: they were not wanted. */
  install(event: RecallEvent): boolean {
    this.#forget(event);
    const bytes = this.bucket.get(hex(event.location.hash));
    if (bytes === undefined) throw new Error("the bucket never held this chunk");
    const { inode, incarnation, index, location } = event;
    return this.call("install", {
      inode,
      incarnation,
      index,
      chunk: location.chunk,
      bytes: bytes.slice(),
    });
  }

  fail(event: RecallEvent, { lost = false }: { lost?: boolean } = {}): void {
    this.#forget(event);
    const { inode, incarnation, index, location } = event;
    this.call("recallFailed", {
      inode,
      incarnation,
      index,
      chunk: location.chunk,
      pack: location.pack,
      lost,
      reason: "the bucket says no",
    });
  }

  #forget(event: RecallEvent): void {
    const at = this.recalls.indexOf(event);
    if (at >= 0) this.recalls.splice(at, 1);
  }

  /** Answers all recalls that wait. */
  installAll(): void {
    while (this.recalls.length > 0) this.install(this.recalls[0]);
  }
}

/** The bytes of a range, fewer where the file is shorter or gone. */
function readRange(path: string, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  try {
    using file = Deno.openSync(path);
    file.seekSync(offset, Deno.SeekMode.Start);
    let done = 0;
    for (let n; done < length && (n = file.readSync(bytes.subarray(done))) !== null;) done += n;
    return bytes.subarray(0, done);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return bytes.subarray(0, 0);
    throw error;
  }
}
