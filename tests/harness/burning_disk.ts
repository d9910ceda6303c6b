/**
 * A machine whose disk may burn at any moment, and a memory of what it had shipped: for tests of what a
 * recovery owes. Programs write in place, save by rename, delete and move files; after each object that
 * reaches the bucket, and between any two steps, the bucket alone can be asked what it brings back.
 *
 * What is asserted of every such recovery: it is of the last complete state that was shipped; every name
 * that stood then is there as it was then, or is listed; what is listed as older is the last saved
 * version of then, whole, as its predecessor is; nothing else is there; sizes and outcomes are told
 * truthfully; and a name that programs save to by rename, once it has been in the bucket, never loses
 * all of its versions.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { decodeMetadataObject, MetadataKind } from "../../src/format/metadata_object.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { TreeReader } from "../../src/metadata/tree_reader.ts";
import type { NotNewest } from "../../src/metadata/rebuild.ts";
import type { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import { type ObjectStore, StoreError } from "../../src/object_store/object_store.ts";
import { hex } from "../../src/runtime/random.ts";
import { restoreContent } from "../../src/tiering/content_restore.ts";
import { CHUNK } from "./care_fixture.ts";
import { assertSound, recoverFrom, ShippingFixture, text } from "./recovery_fixture.ts";
import { SeededRandom } from "./seeded_random.ts";
import { settle } from "./simulated_clock.ts";

/** Names that programs write to in place, and that they save to by rename. */
const WRITTEN = ["a", "b"];
const SAVED = ["document", "settings"];

/** A file as it stood when rows were read. */
interface Then {
  content: Uint8Array;
  /** Hashes of the chunks of its saved version, and of the newest one that it replaced. */
  saved: string | undefined;
  predecessor: string | undefined;
}

type Listed = Map<string, NotNewest>;

const digest = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

export class BurningDisk {
  readonly random: SeededRandom;
  #fixture: ShippingFixture;
  /** Whether the machine is off: nothing reaches the bucket from it any more. */
  #power = { on: true };
  /** What programs see now. */
  #files = new Map<string, Uint8Array>();
  /** Digests of all contents that ever stood under a name. */
  readonly #history = new Map<string, Set<string>>();
  /** Names that are saved to by rename only, and have been in the bucket. */
  readonly #safe = new Set<string>();
  /**
   * What stood when the rows of a complete object were read, by its hash. Of the one at which a recovery
   * went on: what stood then, and what the recovery made of it.
   */
  readonly #states = new Map<string, Map<string, Then>[]>();
  /** Hashes of complete objects that the bucket has and that can be applied, in order. */
  readonly #shipped: (string | undefined)[] = [undefined];
  /** Of the last complete one, whether it can be applied or not. */
  #sent: string | undefined;
  #begunAnew = false;
  /** Until a recovered machine has shipped a snapshot, what the burnt one had shipped may come back. */
  #floor: number | undefined;
  #looking = false;
  looks = 0;
  burns = 0;
  readonly outcomes = new Set<string>();

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.#fixture = this.#start({});
  }

  #start(options: Partial<ConstructorParameters<typeof ShippingFixture>[0]>): ShippingFixture {
    const power = this.#power = { on: true };
    const fixture = new ShippingFixture({
      packBytes: 3 * CHUNK,
      snapshotBytes: 2_000,
      wrap: (inner) => this.#watched(inner, power),
      ...options,
    });
    fixture.exporter.onChanges = (objects: { hash: Uint8Array; complete: boolean }[]) => {
      const last = objects.at(-1);
      if (last?.complete) this.#states.set(hex(last.hash), [this.#now()]);
    };
    return fixture;
  }

  /** The bucket as this machine sees it: it may be looked at before and after each PUT. */
  #watched(inner: MemoryObjectStore, power: { on: boolean }): ObjectStore {
    const assertOn = () => {
      if (!power.on) throw new StoreError("unavailable", "the machine has burnt");
    };
    return new Proxy(inner, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        if (name !== "put") {
          return (...rest: unknown[]) => {
            assertOn();
            return value.apply(target, rest);
          };
        }
        return async (...rest: Parameters<ObjectStore["put"]>) => {
          assertOn();
          await this.#maybeLook(0.1);
          assertOn();
          const result = await target.put(...rest);
          assertOn();
          this.#note(rest[0], rest[1]);
          await this.#maybeLook(0.25);
          return result;
        };
      },
    });
  }

  #note(key: string, body: Uint8Array): void {
    if (!key.startsWith("metadata/")) return;
    const object = decodeMetadataObject(body);
    if (object.kind === MetadataKind.SNAPSHOT) {
      this.#begunAnew = false;
      this.#floor = undefined;
    }
    if (object.kind === MetadataKind.CHANGES) {
      // The first object after a recovery says nothing before there is a snapshot that it follows.
      this.#begunAnew ||= object.restart;
      if (object.complete) this.#sent = hex(object.hash);
    }
    if (!this.#begunAnew) this.#shipped.push(this.#sent);
  }

  #now(): Map<string, Then> {
    const { database } = this.#fixture;
    const versions = database.statement(
      `SELECT v.id, v.kind FROM dentry d JOIN version v ON v.inode = d.inode
       WHERE d.parent = 1 AND d.name = ? AND v.kind IN (1, 2) ORDER BY v.id`,
    );
    const files = [...this.#files].map(([name, content]): [string, Then] => {
      const rows = versions.all(new TextEncoder().encode(name)) as { id: number; kind: number }[];
      const of = (kind: number) => {
        const row = rows.findLast((each) => each.kind === kind);
        return row && chunksOf(database, `version_chunk WHERE version = ${row.id}`);
      };
      return [name, { content, saved: of(1), predecessor: of(2) }];
    });
    return new Map(files);
  }

  #pick<T>(of: readonly T[]): T {
    return of[this.random.below(of.length)];
  }

  /** Content that nothing else ever had, of up to four chunks, sometimes with a hole. */
  #content(): Uint8Array {
    const data = this.random.bytes(16 + this.random.below(4 * CHUNK));
    if (data.length > 3 * CHUNK && this.random.fraction() < 0.5) data.fill(0, CHUNK, 2 * CHUNK);
    return data;
  }

  #remember(name: string, data: Uint8Array): void {
    const known = this.#history.get(name) ?? new Set();
    this.#history.set(name, known.add(digest(data)));
    this.#files.set(name, data);
  }

  #write(name: string, data = this.#content()): void {
    this.#fixture.write(name, data);
    this.#remember(name, data);
  }

  async begin(): Promise<void> {
    await this.#fixture.lease;
    for (const name of [...WRITTEN, ...SAVED]) this.#write(name);
    await this.#fixture.ship();
    for (const name of SAVED) this.#safe.add(name);
  }

  async step(): Promise<void> {
    await this.#rest();
    const fixture = this.#fixture;
    switch (
      this.#pick([
        "write",
        "patch",
        "patch",
        "save",
        "save",
        "unlink",
        "rename",
        "pass",
        "pass",
        "ship",
        "quiet",
      ])
    ) {
      case "write":
        return this.#write(this.#pick(WRITTEN));
      case "patch":
        return await this.#patch(this.#pick(WRITTEN));
      case "save":
        return await this.#save(this.#pick(SAVED));
      case "unlink": {
        const name = this.#pick(WRITTEN);
        if (!this.#files.delete(name)) return;
        return fixture.unlink(name);
      }
      case "rename":
        return this.#rename(...this.#pick<[string, string]>([["a", "b"], ["b", "a"]]));
      case "pass":
        return await fixture.pass(1_000 * this.#pick([1, 7, 30, 70]));
      case "ship":
        return await this.#ship();
      case "quiet":
        fixture.engine.pauseUploads();
        await fixture.shipMetadata();
        return fixture.engine.resumeUploads();
    }
  }

  /** Some bytes in the middle, in place: no version may hold a part of them. */
  async #patch(name: string): Promise<void> {
    const fixture = this.#fixture;
    const before = this.#files.get(name);
    if (before === undefined) return;
    const data = before.slice();
    const offset = this.random.below(data.length);
    const part = this.random.bytes(Math.min(data.length - offset, 2 * CHUNK));
    data.set(part, offset);
    const inode = fixture.find(name)!;
    // What a recovery has left in the bucket comes back first, so that the rest happens at one moment.
    await fixture.read(inode);
    await this.#rest();
    const { handle } = fixture.answered(fixture.kernel.open(inode, { flags: 2 }));
    fixture.answered(fixture.kernel.write(inode, { handle, offset, data: part }));
    fixture.answered(fixture.kernel.flush(inode, handle));
    fixture.answered(fixture.kernel.release(inode, { handle }));
    this.#remember(name, data);
  }

  /** As editors do: a new file beside, then over the old one. */
  async #save(name: string): Promise<void> {
    const beside = `${name}~`;
    this.#write(beside);
    await this.maybeLook(0.1);
    await this.#rest();
    this.#rename(beside, name);
  }

  #rename(name: string, newName: string): void {
    const content = this.#files.get(name);
    if (content === undefined) return;
    for (const each of this.#history.get(name) ?? []) {
      this.#history.set(newName, (this.#history.get(newName) ?? new Set()).add(each));
    }
    const { kernel } = this.#fixture;
    this.#fixture.answered(kernel.rename(1, { name, newParent: 1, newName }));
    this.#files.delete(name);
    this.#files.set(newName, content);
  }

  async #ship(): Promise<void> {
    await this.#fixture.ship();
    await this.#rest();
    // Now nothing is behind: a recovery owes everything, as it is.
    const listed = await this.look();
    assert.deepEqual([...listed.keys()], []);
    for (const name of SAVED) if (this.#files.has(name)) this.#safe.add(name);
  }

  /** What the engine does of its own accord has come to rest, looks that it caused as well. */
  async #rest(): Promise<void> {
    do await settle(); while (this.#looking);
    await settle();
  }

  async maybeLook(chance: number): Promise<void> {
    if (this.random.fraction() < chance) await this.look();
  }

  /** If the disk burnt now. Answers what the recovery lists. */
  async look(): Promise<Listed> {
    await this.#rest();
    return await this.#look();
  }

  /** Before or after a PUT, if no other look goes on. */
  async #maybeLook(chance: number): Promise<void> {
    if (!this.#looking && this.random.fraction() < chance) await this.#look();
  }

  async #look(): Promise<Listed> {
    this.#looking = true;
    try {
      const { directory, listed } = await this.#recover();
      Deno.removeSync(directory, { recursive: true });
      return listed;
    } finally {
      this.#looking = false;
    }
  }

  /** The disk burns; another machine goes on from what the bucket brings back. */
  async burn(): Promise<void> {
    await this.#rest();
    this.burns++;
    const { bucket, clock } = this.#fixture;
    this.#power.on = false;
    const { directory, files, tip } = await this.#recover();
    const burnt = this.#fixture;
    const lease = await burnt.lease;
    await lease.release().catch((error) => {
      if (!(error instanceof StoreError)) throw error;
    });
    await burnt[Symbol.asyncDispose]();
    this.#files = files;
    this.#begunAnew = false;
    this.#floor = this.#shipped.length - 1;
    this.#shipped.push(tip);
    this.#fixture = this.#start({ bucket, clock, cache: directory, takeOver: true });
    this.#states.set(tip, [...this.#states.get(tip) ?? [], this.#now()]);
    await this.#fixture.lease;
  }

  async #recover(): Promise<
    { directory: string; files: Map<string, Uint8Array>; listed: Listed; tip: string }
  > {
    this.looks++;
    const { bucket } = this.#fixture;
    // Other objects may arrive while this one looks.
    const before = this.#floor ?? this.#shipped.length - 1;
    const { directory, result, plan } = await recoverFrom(bucket, this.#fixture);
    assertSound(directory);
    const { snapshot } = plan;
    const last = plan.links.at(-1)?.hash ?? (snapshot && hex(snapshot.manifest.end));
    const { length } = this.#shipped;
    const at = this.#shipped.lastIndexOf(last);
    assert(at >= before, `it is of state ${at}, and ${before} to ${length} had been shipped`);
    const listed: Listed = new Map(result.notNewest.map((each) => [text(each.path), each]));
    for (const { became } of listed.values()) this.outcomes.add(became);
    const database = MetadataDatabase.open({ directory, readOnly: true });
    try {
      const files = await this.#contents(new TreeReader(database));
      const states = this.#states.get(last ?? "") ?? [new Map()];
      this.#compareOne(states, (then) => this.#compare(database, { then, files, listed }));
      return { directory, files, listed, tip: plan.tip.hash };
    } finally {
      database.close({ clean: false });
    }
  }

  async #contents(tree: TreeReader): Promise<Map<string, Uint8Array>> {
    const files = new Map<string, Uint8Array>();
    for (const entry of tree.walk(tree.at([])!)) {
      if (entry.names.length === 0) continue;
      const data = new Uint8Array(entry.size);
      await restoreContent(entry, {
        tree,
        store: this.#fixture.bucket,
        take: (index, bytes) => {
          assert(index * CHUNK + bytes.length <= data.length, "content beyond the file's size");
          data.set(bytes, index * CHUNK);
        },
      });
      files.set(text(entry.names[0]), data);
    }
    return files;
  }

  #compareOne(states: Map<string, Then>[], compare: (then: Map<string, Then>) => void): void {
    for (const [at, then] of states.entries()) {
      try {
        return compare(then);
      } catch (error) {
        if (at === states.length - 1 || !(error instanceof assert.AssertionError)) throw error;
      }
    }
  }

  #compare(
    database: MetadataDatabase,
    parts: { then: Map<string, Then>; files: Map<string, Uint8Array>; listed: Listed },
  ): void {
    const { then, files, listed } = parts;
    for (const [name, { content, saved, predecessor }] of then) {
      const file = files.get(name);
      const told = listed.get(name);
      if (told === undefined) {
        assert(file !== undefined, `${name} is missing, and nobody says so`);
        assert.equal(digest(file), digest(content), `${name} is not as it was, and nobody says so`);
        continue;
      }
      assert.equal(told.newestSize, content.length, name);
      assert.equal(told.size, file?.length, name);
      if (told.became === "missing") {
        assert.deepEqual([file, saved, predecessor], [undefined, undefined, undefined], name);
        continue;
      }
      const chunks = chunksOf(
        database,
        `map WHERE inode = (SELECT inode FROM dentry WHERE parent = 1 AND name = CAST('${name}' AS BLOB))`,
      );
      assert.equal(
        chunks,
        told.became === "older" ? saved : predecessor,
        `${name}, ${told.became}`,
      );
      assert(this.#history.get(name)!.has(digest(file!)), `${name} has content that it never had`);
      assert.notEqual(digest(file!), digest(content), `${name} is listed, and is as it was`);
    }
    for (const name of files.keys()) assert(then.has(name), `${name} was not there`);
    for (const name of listed.keys()) {
      assert(then.has(name), `${name} is listed, and was not there`);
    }
    for (const name of this.#safe) assert(files.has(name), `${name} has lost all its versions`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fixture[Symbol.asyncDispose]();
  }
}

/** Places and hashes of the chunks of some rows, as text. */
function chunksOf(database: MetadataDatabase, rows: string): string {
  const found = database.statement(
    `SELECT x.idx, lower(hex(c.hash)) AS hash, x.length FROM (SELECT * FROM ${rows}) x
     JOIN chunk c ON c.id = x.chunk ORDER BY x.idx`,
  ).all();
  return found.map(({ idx, hash, length }) => `${idx} ${hash} ${length}`).join("\n");
}
