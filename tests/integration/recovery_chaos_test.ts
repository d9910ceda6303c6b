/**
 * The disk burns at random moments: after any PUT, of packs or of metadata, what can be recovered from
 * the bucket is sound, each file is whole in a version that once stood under its name, and a name that
 * programs save to by rename never loses all of its versions. Each seed can be replayed.
 */
import assert from "node:assert/strict";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { TreeReader } from "../../src/metadata/tree_reader.ts";
import type { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { restoreContent } from "../../src/tiering/content_restore.ts";
import { CHUNK } from "../harness/care_fixture.ts";
import { assertSound, recoverFrom, ShippingFixture, text } from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const soak = Deno.env.get("ZERO_SOAK") !== undefined;
const SEEDS = soak ? 40 : 4;
const STEPS = soak ? 120 : 50;
const NAMES = ["a", "b", "document", "settings"];

/** A bucket that lets a test look at it after each PUT. */
function burning(inner: MemoryObjectStore, afterPut: () => Promise<void>): ObjectStore {
  return new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name !== "put") return typeof value === "function" ? value.bind(target) : value;
      return async (...rest: Parameters<ObjectStore["put"]>) => {
        const result = await target.put(...rest);
        await afterPut();
        return result;
      };
    },
  });
}

class Chaos {
  readonly random: SeededRandom;
  readonly fixture: ShippingFixture;
  /** Digest of each content that ever stood under a name. */
  readonly #history = new Map<string, Set<string>>();
  /** Names that programs only ever save to by rename, and that have been in the bucket. */
  readonly #safe = new Set<string>();
  #contents = 0;
  #looking = false;
  looks = 0;
  readonly outcomes = new Set<string>();

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.fixture = new ShippingFixture({
      wrap: (inner) => burning(inner, () => this.#maybeLook(0.3)),
      packBytes: 3 * CHUNK,
      snapshotBytes: 2_000,
    });
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.random.fraction() * of.length)];
  }

  /** Content that nothing else ever had, of up to four chunks, sometimes with a hole. */
  #content(): Uint8Array {
    const length = 1 + Math.floor(this.random.fraction() * 4 * CHUNK);
    const data = this.random.bytes(length);
    if (length > 3 * CHUNK && this.random.fraction() < 0.5) data.fill(0, CHUNK, 2 * CHUNK);
    new DataView(data.buffer).setUint8(0, ++this.#contents);
    return data;
  }

  #write(name: string, data = this.#content()): void {
    this.#remember(name, data);
    this.fixture.write(name, data);
  }

  #remember(name: string, data: Uint8Array): void {
    const known = this.#history.get(name) ?? new Set();
    this.#history.set(name, known.add(digest(data)));
  }

  async step(): Promise<void> {
    const { fixture } = this;
    const { kernel } = fixture;
    switch (
      this.#pick(["write", "save", "save", "unlink", "rename", "pass", "pass", "ship", "quiet"])
    ) {
      case "write":
        return this.#write(this.#pick(["a", "b"]));
      case "save": {
        // As editors do: a new file beside, then over the old one.
        const name = this.#pick(["document", "settings"]);
        const data = this.#content();
        this.#remember(name, data);
        this.#write(`${name}~`, data);
        await this.#maybeLook(0.1);
        fixture.answered(kernel.rename(1, { name: `${name}~`, newParent: 1, newName: name }));
        return;
      }
      case "unlink": {
        const name = this.#pick(["a", "b"]);
        return fixture.find(name) === undefined ? undefined : fixture.unlink(name);
      }
      case "rename": {
        const [name, newName] = this.#pick([["a", "b"], ["b", "a"]]);
        if (fixture.find(name) === undefined) return;
        for (const each of this.#history.get(name) ?? []) {
          this.#history.set(newName, (this.#history.get(newName) ?? new Set()).add(each));
        }
        fixture.answered(kernel.rename(1, { name, newParent: 1, newName }));
        return;
      }
      case "pass":
        return await fixture.pass(1_000 * this.#pick([1, 7, 30, 70]));
      case "ship": {
        await fixture.ship();
        const there = ["document", "settings"].filter((name) => fixture.find(name) !== undefined);
        for (const name of there) this.#safe.add(name);
        return;
      }
      case "quiet":
        fixture.engine.pauseUploads();
        await fixture.shipMetadata();
        return fixture.engine.resumeUploads();
    }
  }

  async #maybeLook(chance: number): Promise<void> {
    if (this.#looking || this.random.fraction() >= chance) return;
    this.#looking = true;
    try {
      await this.look();
    } finally {
      this.#looking = false;
    }
  }

  /** The disk burns now. */
  async look(): Promise<void> {
    this.looks++;
    const { bucket } = this.fixture;
    const { directory, result } = await recoverFrom(bucket, this.fixture);
    try {
      for (const { became } of result.notNewest) this.outcomes.add(became);
      assertSound(directory);
      const database = MetadataDatabase.open({ directory, readOnly: true });
      try {
        await this.#check(new TreeReader(database));
      } finally {
        database.close({ clean: false });
      }
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  }

  async #check(tree: TreeReader): Promise<void> {
    const there = new Set<string>();
    for (const entry of tree.walk(tree.at([])!)) {
      if (entry.names.length === 0) continue;
      const name = text(entry.names[0]);
      there.add(name);
      const data = new Uint8Array(entry.size);
      await restoreContent(entry, {
        tree,
        store: this.fixture.bucket,
        take: (index, bytes) => {
          assert(index * CHUNK + bytes.length <= data.length, "content beyond the file's size");
          data.set(bytes, index * CHUNK);
        },
      });
      if (data.length === 0) continue;
      const known = this.#history.get(name) ?? new Set();
      assert(known.has(digest(data)), `${name} has content that it never had`);
    }
    for (const name of this.#safe) assert(there.has(name), `${name} has lost all its versions`);
  }
}

function digest(data: Uint8Array): string {
  let hash = 0;
  for (const byte of data) hash = (Math.imul(hash, 31) + byte) | 0;
  return `${data.length} ${hash} ${data[0]}`;
}

const outcomes = new Set<string>();
let looks = 0;

for (let seed = 1; seed <= SEEDS; seed++) {
  Deno.test(`whenever the disk burns, every file is whole in one of its versions, seed ${seed}`, async () => {
    const chaos = new Chaos(seed);
    await using _ = chaos.fixture;
    for (const name of NAMES) chaos.fixture.write(name, new Uint8Array());
    for (let step = 0; step < STEPS; step++) await chaos.step();
    await chaos.fixture.ship();
    await chaos.look();
    looks += chaos.looks;
    for (const each of chaos.outcomes) outcomes.add(each);
  });
}

Deno.test("those disks burned in all the ways that matter", () => {
  assert(looks > SEEDS * 5, `${looks} looks`);
  assert.deepEqual([...outcomes].sort(), ["missing", "older", "predecessor"]);
});
