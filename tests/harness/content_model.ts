/**
 * What files must contain, whatever uploads, evictions, recalls and crashes do: a plain in-memory
 * model, and a player that runs operations (plain data, so that a failure can be shrunk) against the
 * file system and compares. Every operation takes effect when it is answered; answers come in order.
 *
 * After a kill, each byte is one that the file had since its last close or fsync. After a power cut,
 * bytes that nobody touched since the last fsync are there exactly; those that were touched are ones
 * that the file ever had there, zeros, or cut off. Names are as at one moment since the last sync.
 */
import assert from "node:assert/strict";
import type { FilesystemFixture } from "./filesystem_fixture.ts";
import type { Mapping } from "./io_modes.ts";
import type { Answer } from "./simulated_connection.ts";

export interface ModelHandle {
  handle: number;
  writes: boolean;
  reads: boolean;
  /** Requests under way: the kernel does not release it before. */
  busy: number;
}

export interface ModelMap {
  mapping: Mapping;
  writes: boolean;
}

/** States of a file: the oldest is the one that is promised, the newest what programs see. */
export interface ModelFile {
  readonly inode: number;
  bytes: Uint8Array;
  sinceFlush: Uint8Array[];
  sinceSync: Uint8Array[];
  /** The name that it took from another file, and its state then: both are there, or neither is. */
  replaced: { name: string; bytes: Uint8Array } | undefined;
  /** All states it ever had. */
  ever: Uint8Array[];
  handles: ModelHandle[];
  /** Mappings of its content file; they outlive handles, names and the daemon. */
  maps: ModelMap[];
  /** Recalls of it have failed: EIO is an answer. */
  failed: boolean;
}

interface Pending {
  answer: Answer<unknown>;
  done: () => void;
  /** The kernel does not forget it meanwhile. */
  file: ModelFile | undefined;
  /** A change of this file that may be made although it is not answered: the kernel holds its lock. */
  changes: ModelFile | undefined;
  /** The file whose bytes are being written. */
  writes: ModelFile | undefined;
  apply: () => void;
}

const EIO = 5;
const ENOSPC = 28;

export class ContentModel {
  fixture: FilesystemFixture;
  readonly files = new Map<number, ModelFile>();
  names = new Map<string, number>();
  nameHistory: Map<string, number>[] = [new Map()];
  pending: Pending[] = [];

  constructor(fixture: FilesystemFixture) {
    this.fixture = fixture;
  }

  /** Files that programs can reach, in order of age. */
  get reachable(): ModelFile[] {
    const named = new Set(this.names.values());
    return [...this.files.values()].filter((file) =>
      named.has(file.inode) || file.handles.length > 0
    );
  }

  born(inode: number): ModelFile {
    const bytes = new Uint8Array(0);
    const file = {
      inode,
      bytes,
      sinceFlush: [bytes],
      sinceSync: [bytes],
      ever: [bytes],
      replaced: undefined,
      handles: [],
      maps: [],
      failed: false,
    };
    this.files.set(inode, file);
    return file;
  }

  change(file: ModelFile, bytes: Uint8Array): void {
    file.bytes = bytes;
    file.sinceFlush.push(bytes);
    file.sinceSync.push(bytes);
    file.ever.push(bytes);
  }

  renamed(): void {
    this.nameHistory.push(new Map(this.names));
  }

  /** Follows a request; `apply` runs when it is answered, in the order of answers. */
  follow<T>(
    answer: Answer<T>,
    apply: (value: T) => void,
    options: {
      file?: ModelFile;
      /** Another file that is read for it. */
      source?: ModelFile;
      handle?: ModelHandle;
      settled?: () => void;
      changes?: boolean;
      writes?: boolean;
    } = {},
  ): void {
    if (options.handle !== undefined) options.handle.busy++;
    this.pending.push({
      answer: answer as Answer<unknown>,
      file: options.file,
      changes: options.changes ? options.file : undefined,
      writes: options.writes ? options.file : undefined,
      apply: () => apply(undefined as T),
      done: () => {
        if (options.handle !== undefined) options.handle.busy--;
        options.settled?.();
        if (answer.errno === 0) return apply(answer.value);
        const failed = options.file?.failed || options.source?.failed;
        const expected = answer.errno === ENOSPC || (answer.errno === EIO && failed);
        assert(expected, `a request failed with errno ${answer.errno}`);
      },
    });
    this.drain();
  }

  /** Whether a change of the file is under way that may be visible already, and need not be. */
  isChanging(file: ModelFile): boolean {
    return this.pending.some(({ changes }) => changes === file);
  }

  /** Whether bytes are being written: a truncation at the same time may count before them or after. */
  isWriting(file: ModelFile): boolean {
    return this.pending.some(({ writes }) => writes === file);
  }

  /** Applies what has been answered meanwhile. */
  drain(): void {
    const settled = this.pending.filter(({ answer }) => !answer.pending);
    settled.sort((a, b) => a.answer.order - b.answer.order);
    for (const each of settled) {
      // What is answered later is pending still for those before.
      this.pending = this.pending.filter((other) => other !== each);
      each.done();
      if (each.file !== undefined) this.letGo(each.file);
    }
  }

  /** The kernel forgets what has no name once no handle and no request under way holds it. */
  letGo(file: ModelFile): void {
    const held = file.handles.length > 0 || this.pending.some((other) => other.file === file);
    if (held || [...this.names.values()].includes(file.inode)) return;
    const { kernel } = this.fixture;
    const lookups = kernel.lookups.get(file.inode);
    if (lookups !== undefined) kernel.forget(file.inode, lookups);
  }

  // Changes of content, as POSIX has them.

  write(file: ModelFile, offset: number, data: Uint8Array): void {
    const bytes = new Uint8Array(Math.max(file.bytes.length, offset + data.length));
    bytes.set(file.bytes);
    bytes.set(data, offset);
    this.change(file, bytes);
  }

  resize(file: ModelFile, size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(file.bytes.subarray(0, size));
    this.change(file, bytes);
  }

  zero(file: ModelFile, offset: number, length: number): void {
    const bytes = file.bytes.slice();
    bytes.fill(0, offset, offset + length);
    this.change(file, bytes);
  }

  /** A sync that began when the file was like this has succeeded. */
  synced(file: ModelFile, bytes: Uint8Array): void {
    file.sinceSync = from(file.sinceSync, bytes);
    file.sinceFlush = [...file.sinceSync];
  }

  namesSynced(names: Map<string, number>): void {
    this.nameHistory = from(this.nameHistory, names);
  }

  unmapAll(file: ModelFile): void {
    for (const { mapping } of file.maps.splice(0)) mapping.unmap();
  }

  // Comparison.

  compareRead(file: ModelFile, offset: number, got: Uint8Array, size: number): void {
    const expected = file.bytes.subarray(offset, offset + size);
    assert.equal(got.length, expected.length, `a read of inode ${file.inode} is short or long`);
    const at = got.findIndex((byte, i) => byte !== expected[i]);
    assert(
      at < 0,
      `inode ${file.inode}, offset ${offset + at}: read ${got[at]}, expected ${expected[at]}`,
    );
  }

  compareAttributes(file: ModelFile): void {
    const { size, blocks } = this.fixture.kernel.getattr(file.inode).value.attributes;
    assert.equal(size, file.bytes.length, `size of inode ${file.inode}`);
    if (file.bytes.some((byte) => byte !== 0)) assert(blocks > 0, "data, and no blocks");
  }

  /** Reads everything back. Call it at rest. */
  compareAll(): void {
    for (const file of this.reachable) {
      this.compareAttributes(file);
      const got = this.#readAll(file.inode);
      assert(got !== "EIO", `inode ${file.inode} cannot be read`);
      this.compareRead(file, 0, got, file.bytes.length + 1);
    }
  }

  #readAll(inode: number): Uint8Array | "EIO" {
    const { fixture } = this;
    const handle = fixture.open(inode, 0);
    const answer = fixture.answered(
      fixture.kernel.read(inode, { handle, offset: 0, size: 1 << 20 }),
    );
    fixture.kernel.release(inode, { handle });
    return answer.errno === EIO ? "EIO" : answer.value;
  }

  /** The world after a crash: compares it with what was promised, and goes on from there. */
  crashed(how: "clean" | "kill" | "power cut", fixture: FilesystemFixture): void {
    this.fixture = fixture;
    for (const { changes, apply } of this.pending) {
      // Made or not: both are right.
      if (changes === undefined) continue;
      const before = changes.bytes;
      apply();
      for (const history of [changes.sinceFlush, changes.sinceSync]) {
        // Where it comes first: what a rename has made durable is looked for from the end.
        if (!history.includes(before)) history.unshift(before);
      }
    }
    this.pending = [];
    // After a power cut the file system says how much was cut off.
    if (how === "power cut") this.fixture.defects.length = 0;
    this.#crashedNames(how);
    // A clean end, and what could be read after a power cut, are on the disk.
    if (how === "kill") this.renamed();
    else this.nameHistory = [new Map(this.names)];
    const named = new Set(this.names.values());
    for (const file of this.files.values()) {
      file.handles = [];
      if (how !== "kill") this.unmapAll(file);
      file.failed = false;
      if (!named.has(file.inode)) continue;
      const got = this.#readAll(file.inode);
      const history = how === "clean"
        ? [file.bytes]
        : how === "kill"
        ? file.sinceFlush
        : this.#sinceSyncOrRename(file);
      if (got === "EIO") {
        const excused = how === "power cut" && history.length > 1;
        assert(excused, `inode ${file.inode} cannot be read after a ${how}`);
        // The file system says what it misses, which is expected here.
        this.fixture.defects.length = 0;
        this.#giveUp(file);
        continue;
      }
      compareWithHistory(got, { history, ever: file.ever, inode: file.inode, how });
      file.bytes = got;
      file.sinceFlush = [got];
      // What a kill leaves was written, but need not be durable before the next sync.
      file.sinceSync = how === "kill" ? [...file.sinceSync, got] : [got];
    }
  }

  #sinceSyncOrRename({ inode, sinceSync, replaced }: ModelFile): Uint8Array[] {
    if (replaced === undefined || this.names.get(replaced.name) !== inode) return sinceSync;
    return from(sinceSync, replaced.bytes);
  }

  #crashedNames(how: string): void {
    const seen = new Map<string, number>();
    for (const { name, inode } of this.fixture.kernel.readdir(1).value) {
      if (name !== "." && name !== "..") seen.set(name, inode);
    }
    for (const name of seen.keys()) this.fixture.kernel.lookup(1, name);
    const same = (names: Map<string, number>) =>
      names.size === seen.size && [...names].every(([name, inode]) => seen.get(name) === inode);
    const possible = how === "power cut" ? this.nameHistory : [this.names];
    assert(possible.some(same), `names after a ${how}: ${JSON.stringify([...seen])}`);
    this.names = seen;
  }

  /** A file whose unsynced content did not survive: its names go, as a user would do. */
  #giveUp(file: ModelFile): void {
    for (const [name, inode] of this.names) {
      if (inode !== file.inode) continue;
      assert.equal(this.fixture.kernel.unlink(1, name).errno, 0);
      this.names.delete(name);
      this.renamed();
    }
  }
}

/** States from one on; all, where a later sync was answered first and that one is gone. */
const from = <T>(states: T[], state: T): T[] =>
  states.slice(Math.max(0, states.lastIndexOf(state)));

function compareWithHistory(
  got: Uint8Array,
  options: { history: Uint8Array[]; ever: Uint8Array[]; inode: number; how: string },
): void {
  const { history, inode, how } = options;
  const cutOff = how === "power cut";
  const sizes = history.map((bytes) => bytes.length);
  // What never reached the disk is cut off at any place.
  const cut = cutOff && history.length > 1 && got.length < Math.max(...sizes);
  assert(
    cut || sizes.includes(got.length),
    `inode ${inode} has ${got.length} bytes after a ${how}`,
  );
  for (let at = 0; at < got.length; at++) {
    if (history.some((bytes) => (bytes[at] ?? 0) === got[at])) continue;
    const changed = history.some((bytes) => (bytes[at] ?? 0) !== (history[0][at] ?? 0));
    const possible = got[at] === 0 || options.ever.some((bytes) => bytes[at] === got[at]);
    if (cutOff && changed && possible) continue;
    const values = history.map((bytes) => bytes[at]).join(" ");
    assert.fail(`inode ${inode}, offset ${at} after a ${how}: ${got[at]}, possible: ${values}`);
  }
}
