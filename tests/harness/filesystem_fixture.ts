/**
 * The real file system over a real directory and database, without kernel, isolates and threads: the
 * simulated kernel in front, a scripted disk helper beside it, the fake engine behind it, a clock that
 * stands still. Everything that the isolate's loop does happens when the test says so. `crash` makes
 * the next mount of what a kill or a power cut would leave.
 */
import assert from "node:assert/strict";
import { ContentStore } from "../../src/content/content_store.ts";
import { SpaceAccountant } from "../../src/content/space_accountant.ts";
import { CommandRunner } from "../../src/filesystem/commands.ts";
import { ContentSweep } from "../../src/filesystem/content_sweep.ts";
import { Core, type CoreParts } from "../../src/filesystem/core.ts";
import { CrashRepair } from "../../src/filesystem/crash_repair.ts";
import { FileTable } from "../../src/filesystem/file_state.ts";
import { Filesystem } from "../../src/filesystem/filesystem.ts";
import { InodeCache } from "../../src/filesystem/inode_cache.ts";
import { LookupCounts } from "../../src/filesystem/lookup_counts.ts";
import { ParkingLot } from "../../src/filesystem/parking_lot.ts";
import type { FilesystemSettings, Refusal } from "../../src/filesystem/protocol.ts";
import { TraceFile } from "../../src/filesystem/trace_file.ts";
import { Session } from "../../src/fuse/session.ts";
import { ChunkTable } from "../../src/metadata/chunk_table.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { MapTable } from "../../src/metadata/map_table.ts";
import { UsageTable } from "../../src/metadata/usage_table.ts";
import { VersionTable } from "../../src/metadata/version_table.ts";
import { TraceRing } from "../../src/policy/trace.ts";
import { TimerQueue } from "../../src/runtime/timer_queue.ts";
import { FakeEngine } from "./fake_engine.ts";
import * as checks from "./filesystem_checks.ts";
import { KernelSimulator } from "./kernel_simulator.ts";
import { ScriptedDisk } from "./scripted_disk.ts";
import { SeededRandom } from "./seeded_random.ts";
import type { Answer } from "./simulated_connection.ts";
import { StillClock } from "./still_clock.ts";

const MiB = 1 << 20;

export const ROOMY: FilesystemSettings = {
  target: 512 * MiB,
  high: 480 * MiB,
  low: 400 * MiB,
  hard: 512 * MiB,
  minFree: 0,
  recallTimeoutMs: 600_000,
  spaceTimeoutMs: 60_000,
  capacity: 1 << 40,
};

export interface FixtureOptions {
  /** An empty directory that the fixture may fill; one sub-directory per mount. */
  directory: string;
  chunkSize?: number;
  settings?: Partial<FilesystemSettings>;
  /** Lends content to the kernel; a file is quiet after `QUIET_MS`. */
  passthrough?: boolean;
  /** Free bytes of the cache's disk; 1 TiB unless set. */
  diskFree?: () => number;
  /** Room for so many accesses in a trace; without it none are recorded. */
  traceRecords?: number;
  /** Which process a thread belongs to. */
  identify?: CoreParts["identify"];
}

/** How long a file is not written to before its content is lent. */
export const QUIET_MS = 300;

interface Previous {
  bootId: number;
  generation: number;
  clock: StillClock;
  bucket: Map<string, Uint8Array>;
}

export class FilesystemFixture {
  readonly clock: StillClock;
  readonly database: MetadataDatabase;
  readonly store: ContentStore;
  readonly disk: ScriptedDisk;
  readonly core: Core;
  readonly filesystem: Filesystem;
  readonly session: Session;
  readonly kernel = new KernelSimulator();
  readonly engine: FakeEngine;
  readonly timers: TimerQueue;
  readonly cache: string;
  /** Everything that was reported as a defect; a test that expects one empties it. */
  readonly defects: string[] = [];
  /** Whether there is a ballast file to give up. */
  ballast = false;
  /** Told when it is given up. */
  onBallast: () => void = () => {};
  readonly #options: FixtureOptions;
  readonly #generation: number;
  readonly #bootId: number;
  #closed = false;
  /** The mount that `crash` has made of this one. */
  next: FilesystemFixture | undefined;

  constructor(options: FixtureOptions, previous?: Previous) {
    this.#options = options;
    this.#generation = previous?.generation ?? 1;
    this.#bootId = previous?.bootId ?? 1;
    this.clock = previous?.clock ?? new StillClock();
    this.cache = `${options.directory}/mount${this.#generation}`;
    Deno.mkdirSync(`${this.cache}/content`, { recursive: true });
    const chunkSize = options.chunkSize ?? 16384;
    this.database = previous === undefined
      ? MetadataDatabase.create({
        directory: this.cache,
        fileSystemId: "test",
        chunkSize,
        store: "file:///bucket",
        clock: this.clock,
        grouped: true,
      })
      : MetadataDatabase.open({ directory: this.cache, grouped: true });
    this.store = new ContentStore(`${this.cache}/content`, {
      openFiles: 64,
      afterCrash: !this.database.wasClean,
      random: new SeededRandom(this.#generation),
    });
    this.disk = new ScriptedDisk({ store: this.store, walPath: this.database.walPath! });
    this.engine = new FakeEngine({
      chunkSize,
      ...(previous === undefined ? {} : { bucket: previous.bucket }),
    });
    this.timers = new TimerQueue(() => this.clock.monotonicMs(), {
      guard: (action) => this.core.guard(action),
    });
    this.core = this.#makeCore({ ...ROOMY, ...options.settings }, chunkSize);
    this.filesystem = new Filesystem(this.core, {
      lookups: new LookupCounts(),
      giveUpBallast: () => {
        const had = this.ballast;
        this.ballast = false;
        if (had) this.onBallast();
        return had;
      },
    });
    this.session = new Session(this.kernel.device, this.filesystem, {
      passthrough: options.passthrough ?? false,
      onDefect: (error, opcode) => this.defects.push(`${opcode}: ${(error as Error).stack}`),
    });
    this.kernel.attach(this.session);
    this.engine.attach(new CommandRunner(this.filesystem, { stop: (_, done) => done() }));
    this.kernel.init();
    if (options.passthrough) {
      this.core.lending.offer();
      assert.equal(this.core.lending.obstacle, undefined);
    }
    if (previous !== undefined) this.#begin();
  }

  #makeCore(settings: FilesystemSettings, chunkSize: number): Core {
    const { database, clock } = this;
    const maps = new MapTable(database);
    const total = database.statement("SELECT resident FROM total").get() as { resident: number };
    const diskFree = this.#options.diskFree ?? (() => 2 ** 40);
    const core = new Core({
      database,
      maps,
      settings,
      chunkSize,
      session: () => this.session,
      bootId: `start ${this.#bootId}`,
      quietMs: QUIET_MS,
      inodes: new InodeCache(database, { limit: 128 }),
      chunks: new ChunkTable(database),
      versions: new VersionTable(database),
      usage: new UsageTable(database),
      files: new FileTable(maps),
      store: this.store,
      space: new SpaceAccountant({
        resident: total.resident,
        limits: settings,
        disk: () => ({ free: diskFree(), total: 2 ** 41 }),
        nowMs: () => clock.monotonicMs(),
      }),
      helper: this.disk,
      lot: new ParkingLot(() => this.session, () => clock.monotonicMs()),
      timers: this.timers,
      clock,
      trace: this.#openTrace(),
      identify: this.#options.identify,
      emit: (event) => {
        if (event.event === "defect") this.defects.push(event.message);
        this.engine.hear(event);
      },
    });
    const suspect = database.setting("suspect");
    if (suspect !== undefined) core.readOnlyReason = String(suspect);
    return core;
  }

  #openTrace(): TraceFile | undefined {
    const { traceRecords } = this.#options;
    if (traceRecords === undefined) return undefined;
    const ring = TraceRing.create(traceRecords);
    if (this.#generation === 1) Deno.writeFileSync(`${this.cache}/access.trace`, ring.bytes);
    return TraceFile.open(`${this.cache}/access.trace`);
  }

  /** What the isolate does first with a cache that was mounted before. */
  #begin(): void {
    this.core.unseen.resume();
    if (this.core.readOnlyReason !== undefined) return;
    this.filesystem.reaper.resumeLeftovers();
    if (!this.database.wasClean) {
      this.filesystem.reaper.add(new ContentSweep(this.core).job());
      new CrashRepair(this.core, this.filesystem.reaper).run();
      this.core.unsynced.doubtAll();
      this.core.syncAll();
    }
  }

  /** One turn of the loop, but the disk: timers that are due, background work, deadlines. */
  turn(): void {
    this.timers.run();
    if (this.filesystem.reaper.busy) this.core.guard(() => this.filesystem.reaper.step());
    this.core.lot.expire();
  }

  /** Lets time pass in small steps, with everything that falls due; the disk works, the bucket does not. */
  pass(milliseconds: number): void {
    for (let left = milliseconds; left > 0; left -= 50) {
      this.clock.pass(Math.min(50, left));
      this.turn();
      while (this.disk.step()) this.turn();
    }
  }

  /** Disk and background work go on until there is none; the bucket answers nothing. */
  work(): void {
    for (let turns = 0; this.disk.waiting.length > 0 || this.filesystem.reaper.busy; turns++) {
      assert(turns < 100_000, "background work does not end");
      this.disk.step();
      this.turn();
    }
  }

  /** Everything goes on until nothing is left to do: timers, disk, bucket. */
  quiesce(): void {
    for (let round = 0; round < 200; round++) {
      this.engine.installAll();
      this.pass(350);
      this.work();
      const idle = this.engine.recalls.length === 0 && this.disk.waiting.length === 0 &&
        !this.filesystem.reaper.busy;
      if (idle && round >= 2) return;
    }
    throw new Error("it never comes to rest");
  }

  /** Lets disk and bucket work until the request is answered. */
  answered<T>(answer: Answer<T>): Answer<T> {
    for (let round = 0; answer.pending && round < 2000; round++) {
      this.work();
      this.engine.installAll();
      if (answer.pending) this.pass(50);
    }
    assert(!answer.pending, "a request is never answered");
    return answer;
  }

  /** The next mount of what is left. The old one is closed and of no more use. */
  crash(how: "clean" | "kill" | "power cut", random?: SeededRandom): FilesystemFixture {
    const next = `${this.#options.directory}/mount${this.#generation + 1}`;
    Deno.mkdirSync(next, { recursive: true });
    if (how === "clean") {
      this.core.lot.failAll(5);
      this.quiesce();
      this.core.flushAll();
      this.core.inodes.flush(Infinity);
      this.core.usage.flush();
      this.core.uses.flush();
      this.kernel.io.disconnect();
      this.core.lending.end({ released: this.core.unseen.size === 0 });
      this.close({ clean: true });
    }
    this.kernel.io.disconnect();
    for (const name of ["metadata.db", "history.db", "history.db-wal", "access.trace"]) {
      copy(name, this.cache, next);
    }
    if (how === "power cut") {
      this.disk.afterPowerCutOf(`${this.cache}/metadata.redo`, `${next}/metadata.redo`, random!);
      Deno.mkdirSync(`${next}/content`);
      this.disk.afterPowerCut({
        content: `${next}/content`,
        walPath: `${next}/metadata.db-wal`,
        random: random!,
      });
    } else {
      copy("metadata.db-wal", this.cache, next);
      copy("metadata.redo", this.cache, next);
      Deno.renameSync(`${this.cache}/content`, `${next}/content`);
    }
    this.close({ clean: false });
    const previous = {
      generation: this.#generation + 1,
      // Nothing that a program has mapped survives a power cut.
      bootId: this.#bootId + (how === "power cut" ? 1 : 0),
      clock: this.clock,
      bucket: this.engine.bucket,
    };
    return this.next = new FilesystemFixture(this.#options, previous);
  }

  close({ clean = false }: { clean?: boolean } = {}): void {
    if (this.#closed) return;
    this.#closed = true;
    this.kernel.io.disconnect();
    this.store.closeAll();
    this.core.trace?.close();
    this.database.close({ clean });
  }

  // What tests ask of files, in short.

  create(name: string, { flags = 2 }: { flags?: number } = {}): { inode: number; handle: number } {
    const { entry, open } = this.answered(this.kernel.create(1, { name, flags })).value;
    return { inode: entry.inode, handle: open.handle };
  }

  open(inode: number, flags = 2): number {
    return this.answered(this.kernel.open(inode, { flags })).value.handle;
  }

  write(file: { inode: number; handle: number }, offset: number, data: Uint8Array | string): void {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const { inode, handle } = file;
    const written = this.answered(this.kernel.write(inode, { handle, offset, data: bytes }));
    assert.equal(written.value, bytes.length);
  }

  read(file: { inode: number; handle: number }, offset = 0, size = MiB): Uint8Array {
    const { inode, handle } = file;
    return this.answered(this.kernel.read(inode, { handle, offset, size })).value;
  }

  /** Closes a descriptor as the kernel does: FLUSH, then RELEASE. */
  closeFile(file: { inode: number; handle: number }): void {
    this.answered(this.kernel.flush(file.inode, file.handle)).value;
    this.answered(this.kernel.release(file.inode, { handle: file.handle })).value;
  }

  fsync(file: { inode: number; handle: number }): void {
    this.answered(this.kernel.fsync(file.inode, { handle: file.handle })).value;
  }

  /** A closed file of these bytes, uploaded and saved. */
  saved(name: string, data: Uint8Array): number {
    const file = this.create(name);
    this.write(file, 0, data);
    this.closeFile(file);
    this.work();
    assert.equal(this.save(file.inode), true);
    return file.inode;
  }

  /** Uploads and saves a file; the answer of save. */
  save(inode: number, options: { verified?: boolean } = {}): true | Refusal | undefined {
    let result: true | Refusal | undefined;
    this.engine.save(inode, { ...options, later: (answer) => result = answer });
    this.work();
    return result;
  }

  /** The same, evicted. */
  evicted(name: string, data: Uint8Array): number {
    const inode = this.saved(name, data);
    assert.equal(typeof this.engine.evict(inode), "number");
    this.work();
    return inode;
  }

  assertIntact(): void {
    checks.assertIntact(this);
  }

  assertCleanIsSaved(): void {
    checks.assertCleanIsSaved(this);
  }

  assertAtRest(): void {
    checks.assertAtRest(this);
  }
}

function copy(name: string, from: string, to: string): void {
  try {
    Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
