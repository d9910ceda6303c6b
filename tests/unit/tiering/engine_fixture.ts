/** An engine between a fake filesystem isolate and a bucket in memory, on a clock that tests move. */
import assert from "node:assert/strict";
import {
  type CallOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutResult,
  StoreError,
} from "../../../src/object_store/object_store.ts";
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import { ActivePolicy } from "../../../src/tiering/active_policy.ts";
import { builtInPolicy } from "../../../src/tiering/default_policy.ts";
import { Engine } from "../../../src/tiering/engine.ts";
import { DEFAULT_ENGINE_SETTINGS, type EngineSettings } from "../../../src/tiering/settings.ts";
import { FakeCompute } from "../../harness/fake_compute.ts";
import { FakeFilesystemPort } from "../../harness/fake_filesystem_port.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";
import { SimulatedClock } from "../../harness/simulated_clock.ts";

type GetOptions = CallOptions & {
  versionId?: string;
  range?: { offset: number; length: number };
};

/** A store whose calls a test can look at, hold up and break. */
export class ScriptedStore implements ObjectStore {
  readonly description = "memory:";
  listsAtOnce = false;
  readonly inner: MemoryObjectStore;
  readonly puts: { key: string; bytes: number }[] = [];
  readonly gets: { key: string; offset: number; length: number }[] = [];
  readonly heads: string[] = [];
  /** Run before the call takes effect, and after it; what they throw is the answer. */
  onPut: (key: string, body: Uint8Array) => void | Promise<void> = () => {};
  afterPut: (key: string, result: PutResult) => void | Promise<void> = () => {};
  onHead: (key: string, options: CallOptions & { versionId?: string }) => void | Promise<void> =
    () => {};
  onGet: (key: string, options: GetOptions) => void | Promise<void> = () => {};
  afterGet: (bytes: Uint8Array<ArrayBuffer>) => void = () => {};
  onList: () => void | Promise<void> = () => {};

  constructor(clock: SimulatedClock) {
    this.inner = new MemoryObjectStore({ clock });
  }

  async put(key: string, body: Uint8Array, options?: CallOptions): Promise<PutResult> {
    this.puts.push({ key, bytes: body.length });
    await this.onPut(key, body);
    const result = await this.inner.put(key, body, options);
    await this.afterPut(key, result);
    return result;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, length } = options.range ?? { offset: 0, length: Infinity };
    this.gets.push({ key, offset, length });
    await this.onGet(key, options);
    const bytes = await this.inner.get(key, options);
    this.afterGet(bytes);
    return bytes;
  }

  async head(
    key: string,
    options: CallOptions & { versionId?: string } = {},
  ): Promise<ObjectInfo> {
    this.heads.push(key);
    await this.onHead(key, options);
    return await this.inner.head(key, options);
  }

  async *list(prefix: string, options?: CallOptions & { startAfter?: string }) {
    await this.onList();
    yield* this.inner.list(prefix, options);
  }

  listVersions(prefix: string, options?: CallOptions) {
    return this.inner.listVersions(prefix, options);
  }

  delete(key: string, versionId: string, options?: CallOptions): Promise<void> {
    return this.inner.delete(key, versionId, options);
  }

  close(): void {
    this.inner.close();
  }
}

/** The failures that a store may answer with. */
export const failing = {
  unavailable: () => new StoreError("unavailable", "put x: 503 SlowDown", { status: 503 }),
  denied: () => new StoreError("denied", "put x: 403 AccessDenied", { status: 403 }),
  missing: () => new StoreError("missing", "get x: NoSuchKey", { status: 404 }),
};

export interface Fixture {
  clock: SimulatedClock;
  random: SeededRandom;
  filesystem: FakeFilesystemPort;
  compute: FakeCompute;
  store: ScriptedStore;
  engine: Engine;
  log: { level: string; message: string; fields?: Record<string, unknown> }[];
}

export const CHUNK = 64 * 1024;

/** Runs `test` with an engine that works, and stops it afterwards, whatever happened. */
export async function withEngine(
  test: (fixture: Fixture) => Promise<void>,
  options: { policy?: ActivePolicy; settings?: Partial<EngineSettings>; mayWrite?: Promise<void> } =
    {},
): Promise<void> {
  const clock = new SimulatedClock();
  const random = new SeededRandom(1);
  const filesystem = new FakeFilesystemPort({ clock, chunkSize: CHUNK });
  const compute = new FakeCompute(filesystem, { chunkSize: CHUNK });
  const store = new ScriptedStore(clock);
  const log: Fixture["log"] = [];
  const engine = new Engine({
    filesystem,
    store,
    compute,
    clock,
    random,
    settings: { ...DEFAULT_ENGINE_SETTINGS, ...options.settings },
    policy: options.policy ?? new ActivePolicy(builtInPolicy()),
    log: (level, message, fields) => void log.push({ level, message, fields }),
    fileSystemId: "00112233445566778899aabbccddeeff",
    chunkSize: CHUNK,
    mayWrite: options.mayWrite ?? Promise.resolve(),
  });
  engine.start();
  try {
    await test({ clock, random, filesystem, compute, store, engine, log });
    // The fake isolate's assertions answer commands, and so end up in the log.
    const defects = log.filter((line) =>
      /AssertionError|InvariantError|TypeError|RangeError/.test(String(line.fields?.error))
    );
    assert.deepEqual(defects, []);
  } finally {
    await clock.until(engine.stop());
  }
}

/** Uploads everything and evicts it, so that its chunks are only in the bucket. */
export async function evictAll({ clock, filesystem, engine }: Fixture): Promise<void> {
  const inodes = [...filesystem.files.keys()];
  await clock.until(engine.evictFiles(inodes));
}
