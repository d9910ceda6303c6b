/**
 * Plays operations of programs, engine, disk and fate against the file system and its model. An
 * operation is five numbers; what they mean is worked out when it runs, so any subsequence of a
 * sequence is a sequence too.
 */
import assert from "node:assert/strict";
import { ContentModel, type ModelFile, type ModelHandle, type ModelMap } from "./content_model.ts";
import { EnginePlayer } from "./content_engine.ts";
import { FilesystemFixture, type FixtureOptions, QUIET_MS } from "./filesystem_fixture.ts";
import type { Operation } from "./content_operations.ts";
import { SeededRandom } from "./seeded_random.ts";

const NAMES = ["a", "b", "c", "d", "e", "f"];
const LARGEST = 14;
const RDWR = 2;
const TRUNC = 0o1000;
/** Flags, and whether a handle writes and reads. */
const OPENS: [flags: number, writes: boolean, reads: boolean][] = [
  [0, false, true],
  [0, false, true],
  [0, false, true],
  [1, true, false],
  [2, true, true],
  [2, true, true],
];

export class ContentPlayer extends EnginePlayer {
  constructor(options: FixtureOptions) {
    super(new ContentModel(new FilesystemFixture(options)));
  }

  close(): void {
    for (const file of this.model.files.values()) this.model.unmapAll(file);
    this.fixture.close();
  }

  play([kind, a, b, c, d]: Operation): void {
    const method = this[`_${kind}` as keyof this] as (...n: number[]) => void;
    method.call(this, a, b, c, d);
    this.model.drain();
  }

  /** Asserts what holds at any time, and at rest. */
  check(): void {
    this.fixture.assertIntact();
    this.fixture.assertCleanIsSaved();
  }

  rest(): void {
    for (const file of this.model.files.values()) this.model.unmapAll(file);
    this.fixture.quiesce();
    // Writers that nobody makes room for are told so after a while.
    const { lot, settings } = this.fixture.core;
    const waits = [...lot.values()].some(({ reason }) => reason === "space");
    if (waits) this.fixture.pass(settings.spaceTimeoutMs);
    this.model.drain();
    assert.equal(this.model.pending.length, 0, "requests wait for ever");
    this.endShadows();
    this.model.compareAll();
    this.fixture.quiesce();
    this.check();
    this.fixture.assertAtRest();
  }

  // Picking.

  #open(
    n: number,
    wanted: "any" | "reads" | "writes",
  ): { file: ModelFile; handle: ModelHandle } | undefined {
    const open = this.model.reachable.flatMap((file) =>
      file.handles.filter((handle) => wanted === "any" || handle[wanted]).map((handle) => ({
        file,
        handle,
      }))
    );
    return open[n % Math.max(1, open.length)];
  }

  /** Offsets near the borders of chunks and pages as often as anywhere. */
  #offset(n: number, m: number): number {
    const chunk = (n % LARGEST) * this.chunk;
    switch (m % 4) {
      case 0:
        return chunk;
      case 1:
        return Math.max(0, chunk - (m >>> 4) % 200);
      case 2:
        return chunk + 4096 * ((m >>> 4) % 4);
      default:
        return chunk + (m >>> 4) % this.chunk;
    }
  }

  #data(seed: number, length: number): Uint8Array {
    if (seed % 11 === 0) return new Uint8Array(length);
    return new SeededRandom(seed).bytes(length).map((byte) => byte | 1);
  }

  // Programs. Arguments are random numbers.

  _create(a: number): void {
    const name = NAMES[a % NAMES.length];
    if (this.model.names.has(name)) return;
    const { inode, handle } = this.fixture.create(name);
    this.model.names.set(name, inode);
    this.model.renamed();
    this.model.born(inode).handles.push({ handle, writes: true, reads: true, busy: 0 });
  }

  _tmpfile(): void {
    const { entry, open } = this.fixture.kernel.tmpfile(1).value;
    this.model.born(entry.inode).handles.push({
      handle: open.handle,
      writes: true,
      reads: true,
      busy: 0,
    });
  }

  _open(a: number, b: number): void {
    const file = this.file(a);
    if (file === undefined) return;
    const [flags, writes, reads] = OPENS[b % OPENS.length];
    this.model.follow(
      this.fixture.kernel.open(file.inode, { flags }),
      ({ handle }) => file.handles.push({ handle, writes, reads, busy: 0 }),
      { file },
    );
  }

  _openTruncate(a: number): void {
    const file = this.file(a);
    if (file === undefined || this.model.isChanging(file) || this.model.isWriting(file)) return;
    this.model.follow(
      this.fixture.kernel.open(file.inode, { flags: RDWR | TRUNC }),
      (opened) => {
        this.model.resize(file, 0);
        if (opened === undefined) return; // the world has ended meanwhile
        file.handles.push({ handle: opened.handle, writes: true, reads: true, busy: 0 });
      },
      { file, changes: true },
    );
  }

  _close(a: number): void {
    const open = this.#open(a, "any");
    if (open !== undefined) this.#closeHandle(open.file, open.handle);
  }

  #closeHandle(file: ModelFile, handle: ModelHandle): void {
    if (handle.busy > 0) return;
    const bytes = file.bytes;
    const flushed = this.fixture.answered(this.fixture.kernel.flush(file.inode, handle.handle));
    this.model.drain();
    assert.equal(flushed.errno, 0);
    if (handle.writes) {
      file.sinceFlush = file.sinceFlush.slice(file.sinceFlush.lastIndexOf(bytes));
    }
    assert.equal(this.fixture.kernel.release(file.inode, { handle: handle.handle }).errno, 0);
    file.handles = file.handles.filter((other) => other !== handle);
    this.model.letGo(file);
  }

  /** A file that nobody has used for a while is opened to be read, and perhaps to be written to. */
  _lend(a: number, b: number): void {
    const file = this.file(a);
    if (file === undefined) return;
    for (let n = file.handles.length; n > 0; n--) this.#closeHandle(file, file.handles[0]);
    if (!this.model.reachable.includes(file)) return;
    this._quiet();
    this._open(a, 0);
    if (b % 3 > 0) this._open(a, 3 + b % 3);
  }

  #write(a: number, offset: (file: ModelFile) => number, data: Uint8Array): void {
    const open = this.#open(a, "writes");
    if (open === undefined) return;
    const { file, handle } = open;
    const at = offset(file);
    if (this.model.isChanging(file)) return;
    if (at + data.length > LARGEST * this.chunk) return;
    this.model.follow(
      this.fixture.kernel.write(file.inode, { handle: handle.handle, offset: at, data }),
      () => this.model.write(file, at, data),
      { ...open, writes: true },
    );
  }

  _write(a: number, b: number, c: number, d: number): void {
    const length = d % 3 === 0 ? 1 + (d >>> 3) % 100 : 1 + (d >>> 3) % (2 * this.chunk);
    this.#write(a, () => this.#offset(b, c), this.#data(d, length));
  }

  _append(a: number, _b: number, _c: number, d: number): void {
    this.#write(a, (file) => file.bytes.length, this.#data(d, 1 + (d >>> 3) % 9000));
  }

  _writeChunks(a: number, b: number, c: number, d: number): void {
    const chunks = 1 + c % 3;
    const offset = (b % LARGEST) * this.chunk;
    this.#write(a, () => offset, this.#data(d, chunks * this.chunk));
  }

  _read(a: number, b: number, c: number, d: number): void {
    const open = this.#open(a, "reads");
    if (open === undefined) return;
    const { file, handle } = open;
    const offset = this.#offset(b, c);
    const size = 1 + d % (3 * this.chunk);
    if (this.model.isChanging(file)) return;
    this.model.follow(
      this.fixture.kernel.read(file.inode, { handle: handle.handle, offset, size }),
      (got) => this.model.compareRead(file, offset, got, size),
      open,
    );
  }

  _truncate(a: number, b: number, c: number): void {
    const file = this.file(a);
    if (file === undefined) return;
    const size = b % 5 === 0 ? 0 : this.#offset(b, c);
    if (this.model.isChanging(file) || this.model.isWriting(file)) return;
    this.model.follow(
      this.fixture.kernel.setattr(file.inode, { size }),
      () => this.model.resize(file, size),
      { file, changes: true },
    );
  }

  _fallocate(a: number, b: number, c: number, d: number): void {
    const open = this.#open(a, "writes");
    // It may take effect in several steps: nothing else at the same time.
    if (open === undefined || this.model.pending.length > 0) return;
    const { file, handle } = open;
    const offset = this.#offset(b, c);
    const length = 1 + d % (4 * this.chunk);
    const mode = [0, 1, 3, 16, 17][(d >>> 8) % 5];
    const end = offset + length;
    const answer = this.fixture.answered(
      this.fixture.kernel.fallocate(file.inode, { handle: handle.handle, offset, length, mode }),
    );
    this.model.follow(answer, () => {
      if (mode > 1 && offset < file.bytes.length) this.model.zero(file, offset, length);
      if ((mode & 1) === 0 && end > file.bytes.length) this.model.resize(file, end);
    }, open);
  }

  /** Between the same places in both files, and mostly whole chunks: those may be shared. */
  _copy(a: number, b: number, c: number, d: number): void {
    const source = this.#open(a, "reads");
    const target = this.#open(b, "writes");
    if (source === undefined || target === undefined) return;
    if (this.model.isChanging(source.file) || this.model.isChanging(target.file)) return;
    const aligned = c % 4 > 0;
    const offset = aligned ? (c >>> 4) % 6 * this.chunk : this.#offset(c >>> 4, d);
    const targetOffset = aligned ? (d >>> 4) % 6 * this.chunk : this.#offset(d >>> 4, c);
    const length = d % 4 > 0 ? (1 + d % 5) * this.chunk : 1 + (d >>> 8) % (3 * this.chunk);
    // The kernel lets no copy overlap itself.
    if (source.file === target.file && Math.abs(offset - targetOffset) < length) return;
    const answer = this.fixture.kernel.copyFileRange(source.file.inode, {
      handle: source.handle.handle,
      offset,
      targetInode: target.file.inode,
      targetHandle: target.handle.handle,
      targetOffset,
      length,
      wide: true,
    });
    source.handle.busy++;
    target.handle.busy++;
    this.model.follow(answer, (count) => {
      const bytes = source.file.bytes.subarray(offset, offset + count);
      assert.equal(bytes.length, count, "more was copied than there is");
      // A truncation that is not answered yet may have come before.
      const atEnd = offset >= source.file.bytes.length || this.model.isChanging(source.file);
      assert(count > 0 || atEnd, "nothing was copied");
      if (count > 0) this.model.write(target.file, targetOffset, bytes);
    }, {
      file: target.file,
      source: source.file,
      settled: () => {
        source.handle.busy--;
        target.handle.busy--;
      },
    });
  }

  _lseek(a: number, b: number, c: number, d: number): void {
    const open = this.#open(a, "any");
    if (open === undefined) return;
    const { inode, bytes } = open.file;
    if (this.model.isChanging(open.file)) return;
    const offset = this.#offset(b, c);
    const whence = 3 + d % 2;
    const answer = this.fixture.kernel.lseek(inode, { handle: open.handle.handle, offset, whence });
    if (offset >= bytes.length) return assert.equal(answer.errno, 6);
    if (whence === 3) {
      const end = answer.errno === 6 ? bytes.length : answer.value;
      assert(!bytes.subarray(offset, end).some((byte) => byte !== 0), "SEEK_DATA skips data");
    } else {
      assert(answer.value >= offset && answer.value <= bytes.length);
      if (answer.value < bytes.length) assert.equal(bytes[answer.value], 0);
    }
  }

  /** fsync and fdatasync: the names are promised by the first one only. */
  _fsync(a: number, b: number): void {
    const dataOnly = b % 2 === 0;
    const open = this.#open(a, "any");
    if (open === undefined) return;
    const { file, handle } = open;
    const bytes = file.bytes;
    const known = this.model.nameHistory.at(-1)!;
    this.model.follow(
      this.fixture.kernel.fsync(file.inode, { handle: handle.handle, dataOnly }),
      () => {
        this.model.synced(file, bytes);
        if (!dataOnly) this.model.namesSynced(known);
      },
      open,
    );
  }

  /** posix_fadvise(WILLNEED). */
  _readAhead(a: number, b: number, c: number): void {
    const open = this.#open(a, "reads");
    if (open === undefined) return;
    const { file, handle } = open;
    if (this.model.isChanging(file)) return;
    const how = { handle: handle.handle, offset: this.#offset(b, c), size: 5000 };
    const answer = this.fixture.kernel.readAhead(file.inode, how);
    this.model.follow(answer, (got) => this.model.compareRead(file, how.offset, got, 5000), open);
  }

  _getattr(a: number): void {
    const file = this.file(a);
    if (file === undefined || this.model.pending.length > 0) return;
    this.model.compareAttributes(file);
  }

  _map(a: number): void {
    const open = this.#open(a, "reads");
    if (open === undefined || open.file.maps.length > 3) return;
    const { file, handle } = open;
    const mapping = this.fixture.kernel.map(file.inode, handle.handle);
    if (mapping !== undefined) file.maps.push({ mapping, writes: handle.writes && handle.reads });
  }

  /** A mapping, with its file as programs know it: not one that a dead daemon's programs still hold. */
  #mapped(n: number, writes: boolean): { file: ModelFile; map: ModelMap } | undefined {
    const maps = this.model.reachable.flatMap((file) =>
      file.maps.filter((map) => map.writes || !writes).map((map) => ({ file, map }))
    );
    return maps[n % Math.max(1, maps.length)];
  }

  _unmap(a: number): void {
    const found = this.#mapped(a, false);
    if (found === undefined) return;
    found.map.mapping.unmap();
    found.file.maps = found.file.maps.filter((map) => map !== found.map);
  }

  /** What is mapped is what read(2) gives, at once, but while a request is changing it. */
  _mapRead(a: number, b: number, c: number): void {
    const found = this.#mapped(a, false);
    if (found === undefined || this.model.pending.length > 0) return;
    const { file, map } = found;
    const offset = this.#offset(b, c);
    this.model.compareRead(file, offset, map.mapping.read(offset, 9000), 9000);
  }

  _mapStore(a: number, b: number, c: number, d: number): void {
    const found = this.#mapped(a, true);
    if (found === undefined || this.model.pending.length > 0) return;
    const { file, map } = found;
    const offset = this.#offset(b, c);
    // What lies behind the end is not mapped.
    if (offset >= file.bytes.length) return;
    const data = this.#data(d, Math.min(1 + d % 9000, file.bytes.length - offset));
    map.mapping.store(offset, data);
    this.model.write(file, offset, data);
  }

  _unlink(a: number): void {
    const names = [...this.model.names.keys()];
    if (names.length === 0) return;
    const name = names[a % names.length];
    const inode = this.model.names.get(name)!;
    assert.equal(this.fixture.kernel.unlink(1, name).errno, 0);
    this.model.names.delete(name);
    this.model.renamed();
    this.model.letGo(this.model.files.get(inode)!);
  }

  _rename(a: number, b: number): void {
    const names = [...this.model.names.keys()];
    if (names.length === 0) return;
    const name = names[a % names.length];
    const newName = NAMES[b % NAMES.length];
    const inode = this.model.names.get(name)!;
    const victim = this.model.names.get(newName);
    const file = this.model.files.get(inode)!;
    const bytes = file.bytes;
    // Nothing else happens to names meanwhile.
    const answer = this.fixture.answered(
      this.fixture.kernel.rename(1, { name, newParent: 1, newName }),
    );
    this.model.follow(answer, () => {
      if (victim === inode) return;
      this.model.names.delete(name);
      this.model.names.set(newName, inode);
      this.model.renamed();
      if (victim === undefined) return;
      file.replaced = { name: newName, bytes };
      this.model.letGo(this.model.files.get(victim)!);
    });
  }

  _link(a: number, b: number): void {
    const name = NAMES[b % NAMES.length];
    const named = [...this.model.names.values()];
    if (named.length === 0 || this.model.names.has(name)) return;
    const inode = named[a % named.length];
    assert.equal(this.fixture.kernel.link(1, { target: inode, name }).errno, 0);
    this.model.names.set(name, inode);
    this.model.renamed();
  }

  // Disk, time and fate.

  _disk(a: number): void {
    const { waiting } = this.fixture.disk;
    if (waiting.length > 0) this.fixture.disk.step(a % 2 === 0 ? 0 : (a >>> 1) % waiting.length);
    this.fixture.turn();
  }

  _pass(a: number): void {
    this.fixture.clock.pass(1 + a % 400);
    this.fixture.turn();
  }

  /** Long enough for content to be lent. */
  _quiet(): void {
    this.fixture.pass(QUIET_MS + 50);
  }

  _work(): void {
    this.fixture.work();
  }

  #crash(how: "clean" | "kill" | "power cut", seed: number): void {
    if (how === "clean") {
      for (const file of this.model.files.values()) {
        for (const { handle } of file.handles) {
          this.fixture.kernel.flush(file.inode, handle);
        }
      }
      this.fixture.quiesce();
      this.model.drain();
    }
    this.forgetAll();
    const next = this.fixture.crash(how, new SeededRandom(seed));
    this.model.fixture = next;
    next.assertCleanIsSaved();
    this.model.crashed(how, next);
    this.check();
  }

  _clean(a: number): void {
    this.#crash("clean", a);
  }

  _kill(a: number): void {
    this.#crash("kill", a);
  }

  _powerCut(a: number): void {
    this.#crash("power cut", a);
  }
}
