/**
 * A whole Zero without a kernel and without isolates: the real file system over a real directory and
 * database, the real engine, a bucket in memory whose calls a test may break, and a clock that tests
 * move. For tests of what cares for bucket and cache. Syncs are done at once; a power cut is not
 * simulated here.
 */
import assert from "node:assert/strict";
import { ContentStore } from "../../src/content/content_store.ts";
import { SpaceAccountant } from "../../src/content/space_accountant.ts";
import { CommandRunner } from "../../src/filesystem/commands.ts";
import { Core } from "../../src/filesystem/core.ts";
import type { DiskHelper } from "../../src/filesystem/disk_helper.ts";
import { FileTable } from "../../src/filesystem/file_state.ts";
import { Filesystem } from "../../src/filesystem/filesystem.ts";
import { InodeCache } from "../../src/filesystem/inode_cache.ts";
import { LookupCounts } from "../../src/filesystem/lookup_counts.ts";
import { ParkingLot } from "../../src/filesystem/parking_lot.ts";
import type { FilesystemPort } from "../../src/filesystem/port.ts";
import type { Commands, FilesystemEvent } from "../../src/filesystem/protocol.ts";
import { Session } from "../../src/fuse/session.ts";
import type { Secrets } from "../../src/format/secrets.ts";
import { ChunkTable } from "../../src/metadata/chunk_table.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { MapTable } from "../../src/metadata/map_table.ts";
import { UsageTable } from "../../src/metadata/usage_table.ts";
import { VersionTable } from "../../src/metadata/version_table.ts";
import { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { fromHex } from "../../src/runtime/random.ts";
import { TimerQueue } from "../../src/runtime/timer_queue.ts";
import type { StoredVersion } from "../../src/tiering/bucket_survey.ts";
import type { ShippedHistory } from "../../src/tiering/collection_horizon.ts";
import { Engine } from "../../src/tiering/engine.ts";
import { GarbageCollector } from "../../src/tiering/garbage_collector.ts";
import type { ExportLimits } from "../../src/tiering/metadata_exporter.ts";
import type { Superseded } from "../../src/tiering/metadata_retirement.ts";
import type { WritingRight } from "../../src/tiering/metadata_sender.ts";
import { Repacker } from "../../src/tiering/repacker.ts";
import { DEFAULT_ENGINE_SETTINGS } from "../../src/tiering/settings.ts";
import { ClockWatch } from "../../src/tiering/store_time.ts";
import { KernelSimulator } from "./kernel_simulator.ts";
import { PromptCompute } from "./prompt_compute.ts";
import { PromptExporter } from "./prompt_exporter.ts";
import { SeededRandom } from "./seeded_random.ts";
import type { Answer } from "./simulated_connection.ts";
import { SimulatedClock } from "./simulated_clock.ts";

export const CHUNK = 16 * 1024;
export const FILE_SYSTEM = "00112233445566778899aabbccddeeff";
const DAY_MS = 86_400_000;

const roomy = {
  target: 1e12,
  high: 1e12,
  low: 1e12,
  hard: 1e12,
  minFree: 0,
  recallTimeoutMs: 1e9,
  spaceTimeoutMs: 60_000,
  capacity: 2 ** 40,
};

/** Does what it is asked when the loop comes round, and says how it went. */
class PromptDisk implements DiskHelper {
  readonly waiting: (() => void)[] = [];
  /** WAL syncs so far. */
  walSyncs = 0;

  sync(job: { wal: boolean }, done: (errno: number) => void): void {
    this.waiting.push(() => {
      if (job.wal) this.walSyncs++;
      done(0);
    });
  }
  unlink(paths: string[], done: (errno: number) => void): void {
    this.waiting.push(() => {
      for (const path of paths) {
        try {
          Deno.removeSync(path);
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error;
        }
      }
      done(0);
    });
  }
  syncAll(done: (errno: number) => void): void {
    this.waiting.push(() => done(0));
  }
  checkpoint(done: (errno: number) => void): void {
    this.waiting.push(() => done(0));
  }
}

export interface CareOptions {
  /** Around the bucket in memory: faults. */
  wrap?: (inner: MemoryObjectStore) => ObjectStore;
  checkLease?: () => Promise<void>;
  shippedHistory?: () => Promise<ShippedHistory>;
  packBytes?: number;
  /** Several fixtures on one bucket: the clock and bucket of the first, and another seed. */
  clock?: SimulatedClock;
  bucket?: MemoryObjectStore;
  seed?: number;
  /** A cache that holds a file system already; the fixture takes it away in the end. */
  cache?: string;
  /** Of FILE_SYSTEM: then it is encrypted. */
  secrets?: Secrets;
  /** The cache follows another mount: nothing is written through this one. */
  following?: boolean;
  /** Told where the bucket does not have what is shown. */
  onMissing?: () => void;
  /** Packs are uploaded from then on, or never where it rejects; at once by default. */
  mayWrite?: Promise<void>;
  /** Metadata is shipped. */
  shipping?: { right: Promise<WritingRight>; intervalMs?: number; snapshotBytes?: number };
  /** Where metadata objects end, for tests of what lies between two. */
  exportLimits?: Partial<ExportLimits>;
}

export class CareFixture {
  readonly clock: SimulatedClock;
  readonly bucket: MemoryObjectStore;
  readonly cache: string;
  readonly database: MetadataDatabase;
  readonly content: ContentStore;
  readonly disk = new PromptDisk();
  readonly core: Core;
  readonly filesystem: Filesystem;
  readonly kernel = new KernelSimulator();
  readonly port: FilesystemPort;
  readonly engine: Engine;
  readonly collector: GarbageCollector;
  readonly store: ObjectStore;
  /** Names of commands, in order. */
  readonly commands: string[] = [];
  readonly log: string[] = [];
  readonly defects: string[] = [];
  readonly #timers = new TimerQueue(() => this.clock.monotonicMs());
  readonly #listeners = new Set<(event: FilesystemEvent) => void>();
  readonly #runner: CommandRunner;
  readonly exporter: PromptExporter;
  #closed = false;

  constructor(options: CareOptions = {}) {
    this.clock = options.clock ?? new SimulatedClock();
    this.bucket = options.bucket ?? new MemoryObjectStore({ clock: this.clock });
    this.cache = options.cache ?? Deno.makeTempDirSync({ prefix: "zero-care-" });
    Deno.mkdirSync(`${this.cache}/content`, { recursive: true });
    this.store = options.wrap?.(this.bucket) ?? this.bucket;
    this.database = options.cache === undefined ? this.#create() : this.#open(options.cache);
    this.content = new ContentStore(`${this.cache}/content`, { openFiles: 64 });
    this.core = this.#makeCore();
    if (options.following) {
      this.core.following = true;
      this.core.readOnlyReason = "it follows another mount";
    }
    this.filesystem = new Filesystem(this.core, {
      lookups: new LookupCounts(),
      giveUpBallast: () => false,
    });
    const session = new Session(this.kernel.device, this.filesystem, {
      onDefect: (error, opcode) => this.defects.push(`${opcode}: ${(error as Error).stack}`),
    });
    this.#session = session;
    this.kernel.attach(session);
    this.#runner = new CommandRunner(this.filesystem, { stop: (_, done) => done() });
    this.kernel.init();
    this.port = this.#makePort();
    const { exportLimits: limits, secrets } = options;
    this.exporter = new PromptExporter(this.cache, { clock: this.clock, limits, secrets });
    const random = new SeededRandom(options.seed ?? 7);
    const log = (level: string, message: string, fields?: Record<string, unknown>) =>
      void this.log.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
    const parts = {
      filesystem: this.port,
      store: this.store,
      compute: new PromptCompute(options.secrets),
      clock: this.clock,
      random,
      log,
    };
    this.engine = new Engine({
      ...parts,
      settings: { ...DEFAULT_ENGINE_SETTINGS, packBytes: options.packBytes ?? 8 * CHUNK },
      fileSystemId: FILE_SYSTEM,
      secrets: options.secrets,
      chunkSize: CHUNK,
      mayWrite: options.mayWrite ?? Promise.resolve(),
      onMissing: options.onMissing,
      ...(options.shipping === undefined ? {} : {
        metadata: {
          exporter: this.exporter,
          right: options.shipping.right,
          intervalMs: options.shipping.intervalMs ?? 60_000,
          snapshotBytes: options.shipping.snapshotBytes,
        },
      }),
    });
    this.engine.start();
    this.collector = new GarbageCollector({
      ...parts,
      watch: new ClockWatch(this.clock, () => this.clock.wallMs()),
      repacker: new Repacker({ ...parts, fileSystem: fromHex(FILE_SYSTEM) }),
      checkLease: options.checkLease ?? (() => Promise.resolve()),
      shippedHistory: options.shippedHistory ?? (() => this.shippedHistory()),
      superseded: (own, range) => this.superseded(own, range),
      uploading: async () => (await this.engine.status()).upload.packsUnderWay > 0,
      ages: { trashMs: 7 * DAY_MS, graceMs: 7 * DAY_MS },
    });
  }

  readonly #session: Session;

  /** Nothing was ever shipped from here. */
  shippedHistory(): Promise<ShippedHistory> {
    return Promise.resolve({ kind: "nothing" });
  }

  superseded(_: StoredVersion[], __: { beforeMs: number }): Promise<Superseded> {
    return Promise.resolve({ groups: [], notes: [] });
  }

  #create(): MetadataDatabase {
    return MetadataDatabase.create({
      directory: this.cache,
      fileSystemId: FILE_SYSTEM,
      chunkSize: CHUNK,
      store: "memory:",
      clock: this.clock,
    });
  }

  #open(directory: string): MetadataDatabase {
    return MetadataDatabase.open({ directory });
  }

  #makeCore(): Core {
    const { database, clock } = this;
    const maps = new MapTable(database);
    return new Core({
      database,
      maps,
      settings: roomy,
      chunkSize: CHUNK,
      session: () => this.#session,
      bootId: "one",
      inodes: new InodeCache(database, { limit: 128 }),
      chunks: new ChunkTable(database),
      versions: new VersionTable(database),
      usage: new UsageTable(database),
      files: new FileTable(maps),
      store: this.content,
      space: new SpaceAccountant({
        resident: 0,
        limits: roomy,
        disk: () => ({ free: 2 ** 40, total: 2 ** 41 }),
        nowMs: () => clock.monotonicMs(),
      }),
      helper: this.disk,
      lot: new ParkingLot(() => this.#session, () => clock.monotonicMs()),
      timers: this.#timers,
      clock,
      emit: (event) => {
        if (event.event === "defect") this.defects.push(event.message);
        for (const listener of [...this.#listeners]) listener(structuredClone(event));
      },
    });
  }

  #makePort(): FilesystemPort {
    return {
      call: async <K extends keyof Commands>(command: K, argument: Commands[K][0]) => {
        this.commands.push(command);
        await Promise.resolve();
        const answer = new Promise((resolve, reject) => {
          try {
            this.#runner.run(command, structuredClone(argument), {
              answer: resolve,
              fail: reject,
            });
          } catch (error) {
            reject(error);
          }
        });
        this.turn();
        return structuredClone(await answer) as Commands[K][1];
      },
      subscribe: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
  }

  /** Everything that the isolate's loop would do now. */
  turn(): void {
    for (let turns = 0;; turns++) {
      assert(turns < 100_000, "background work does not end");
      this.#timers.run();
      const job = this.disk.waiting.shift();
      if (job !== undefined) job();
      else if (this.filesystem.reaper.busy) this.filesystem.reaper.step();
      else return;
    }
  }

  /** Lets engine and file system work for a while of simulated time. */
  async pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= 500) {
      this.turn();
      await this.clock.advance(Math.min(500, left));
    }
    this.turn();
  }

  /** The calendar goes on, nothing else. */
  days(days: number): void {
    this.clock.setWall(this.clock.wallMs() + days * DAY_MS);
  }

  collect(options: { apply?: boolean; force?: boolean } = {}) {
    const { apply = true, force = true } = options;
    const signal = new AbortController().signal;
    return this.clock.until(this.collector.collect({ apply, force, signal }));
  }

  answered<T>(answer: Answer<T>): T {
    this.turn();
    return answer.value;
  }

  /** A file of these bytes in the root (or another directory), closed. Made, or written anew. */
  write(name: string, data: Uint8Array, parent = 1): number {
    const found = this.kernel.lookup(parent, name);
    let inode = found.errno === 0 ? found.value.inode : 0;
    let handle: number;
    if (inode === 0) {
      const made = this.answered(this.kernel.create(parent, { name, flags: 2 }));
      inode = made.entry.inode;
      handle = made.open.handle;
    } else {
      handle = this.answered(this.kernel.open(inode, { flags: 0o1002 })).handle;
    }
    for (let at = 0; at < data.length; at += 65536) {
      const part = data.subarray(at, at + 65536);
      this.answered(this.kernel.write(inode, { handle, offset: at, data: part }));
    }
    this.answered(this.kernel.flush(inode, handle));
    this.answered(this.kernel.release(inode, { handle }));
    return inode;
  }

  /** The inode under a name; undefined where there is none. */
  find(name: string, parent = 1): number | undefined {
    const found = this.kernel.lookup(parent, name);
    if (found.errno !== 0 || found.value.inode === 0) return undefined;
    this.kernel.forget(found.value.inode, 1);
    return found.value.inode;
  }

  unlink(name: string, parent = 1): void {
    const inode = this.find(name, parent);
    this.answered(this.kernel.unlink(parent, name));
    // The kernel lets go of the inode too, or it would stay as an orphan.
    const lookups = inode === undefined ? 0 : this.kernel.lookups.get(inode) ?? 0;
    if (inode !== undefined && lookups > 0) this.kernel.forget(inode, lookups);
    this.filesystem.reaper.discardNow();
    this.turn();
  }

  /** All bytes of a file, recalled where need be. */
  async read(inode: number): Promise<Uint8Array> {
    const { size } = this.answered(this.kernel.getattr(inode)).attributes;
    const handle = this.answered(this.kernel.open(inode, { flags: 0 })).handle;
    const data = new Uint8Array(size);
    for (let at = 0; at < size; at += CHUNK) {
      const want = Math.min(CHUNK, size - at);
      const answer = this.kernel.read(inode, { handle, offset: at, size: want });
      for (let waited = 0; answer.pending && waited < 400; waited++) await this.pass(500);
      data.set(answer.value, at);
    }
    this.answered(this.kernel.release(inode, { handle }));
    return data;
  }

  sync(options: { onUploaded?: () => Promise<void> } = {}) {
    const signal = new AbortController().signal;
    return this.#untilDone(this.engine.sync({ inodes: "all", signal, ...options }));
  }

  evict(inodes: number[]) {
    return this.#untilDone(this.engine.evictFiles(inodes));
  }

  async #untilDone<T>(promise: Promise<T>): Promise<T> {
    const result = await this.clock.until(promise);
    this.turn();
    return result;
  }

  /** Objects below packs/, all versions. */
  async packObjects(): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.bucket.listVersions("packs/")) keys.push(key);
    return keys;
  }

  /** Writes everything and lets go of the cache, which stays on the disk for others to look at. */
  async stop({ clean = true }: { clean?: boolean } = {}): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.clock.until(this.engine.stop());
    this.exporter.close();
    this.core.flushAll();
    this.core.inodes.flush(Infinity);
    this.core.usage.flush();
    this.turn();
    // As the isolate does at a clean end.
    this.filesystem.reaper.unlinks.hurry();
    this.turn();
    this.content.closeAll();
    this.database.close({ clean });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    Deno.removeSync(this.cache, { recursive: true });
    assert.deepEqual(this.defects, []);
  }
}
