/**
 * What the bucket is asked for, counted: requests and bytes of common work. Chunks have 16 KiB here, and
 * sizes are scaled with them where they are about chunks.
 */
import assert from "node:assert/strict";
import { MiB } from "../../src/domain/units.ts";
import type { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { soak } from "../harness/fault_seed.ts";
import { CHUNK } from "../harness/care_fixture.ts";
import { ShippingFixture } from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

/** The PUTs of a fixture since they were last emptied, by what they put. */
class Counts {
  puts: { key: string; bytes: number }[] = [];
  /** All other calls. */
  others: string[] = [];

  readonly wrap = (inner: MemoryObjectStore): ObjectStore =>
    new Proxy(inner, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return (...rest: [string, Uint8Array]) => {
          if (name === "put") this.puts.push({ key: rest[0], bytes: rest[1].length });
          else this.others.push(`${String(name)} ${rest[0]}`);
          return value.apply(target, rest);
        };
      },
    });

  reset(): void {
    this.puts = [];
    this.others = [];
  }

  /** Objects and bytes below a prefix. */
  of(prefix: string): { objects: number; bytes: number } {
    const found = this.puts.filter(({ key }) => key.startsWith(prefix));
    return { objects: found.length, bytes: found.reduce((sum, { bytes }) => sum + bytes, 0) };
  }
}

const FILES = soak ? 10_000 : 1_000;
const MOST = soak ? 20 : 4;

Deno.test(`${FILES} files of 4 KiB are at most ${MOST} PUTs, with metadata and the claim`, async () => {
  const counts = new Counts();
  await using zero = new ShippingFixture({ wrap: counts.wrap, packBytes: 16 * MiB });
  const random = new SeededRandom(1);
  const directory = zero.answered(zero.kernel.mkdir(1, { name: "many" })).inode;
  await zero.lease;
  for (let i = 0; i < FILES; i++) zero.write(`file number ${i}`, random.bytes(4096), directory);
  await zero.ship();
  assert(counts.puts.length <= MOST, JSON.stringify(counts.puts.map(({ key }) => key)));
  const { bytes } = counts.of("packs/");
  assert(bytes < FILES * 4096 * 1.03, `${bytes} bytes`);
});

Deno.test("rewriting a quarter of a chunk in the middle of 256 chunks uploads at most two", async () => {
  const counts = new Counts();
  await using zero = new ShippingFixture({ wrap: counts.wrap, packBytes: 16 * MiB });
  const random = new SeededRandom(2);
  const inode = zero.write("large", random.bytes(256 * CHUNK));
  await zero.ship();
  for (const at of [128 * CHUNK, 100 * CHUNK - 100]) {
    counts.reset();
    const { handle } = zero.answered(zero.kernel.open(inode, { flags: 2 }));
    const data = random.bytes(CHUNK / 4);
    zero.answered(zero.kernel.write(inode, { handle, offset: at, data }));
    zero.answered(zero.kernel.flush(inode, handle));
    zero.answered(zero.kernel.release(inode, { handle }));
    await zero.ship();
    const packs = counts.of("packs/");
    assert.equal(packs.objects, 1);
    assert(packs.bytes <= 2 * CHUNK + 1024, `${packs.bytes} bytes of packs`);
    const metadata = counts.of("metadata/");
    assert(metadata.bytes < 8 * 1024, `${metadata.bytes} bytes of metadata`);
    assert.equal(counts.puts.length, 1 + metadata.objects);
  }
});

Deno.test("a second copy of a file uploads no data, whether the first is here or evicted", async () => {
  const counts = new Counts();
  await using zero = new ShippingFixture({ wrap: counts.wrap });
  const data = new SeededRandom(3).bytes(20 * CHUNK + 5);
  const first = zero.write("first", data);
  await zero.ship();
  for (const name of ["second", "third"]) {
    counts.reset();
    zero.write(name, data);
    await zero.ship();
    assert.deepEqual(counts.of("packs/"), { objects: 0, bytes: 0 });
    assert(counts.of("metadata/").bytes < 4096);
    await zero.evict([first]);
  }
});

Deno.test("renaming, changing modes and attributes, and deleting upload metadata only, and read nothing", async () => {
  const counts = new Counts();
  await using zero = new ShippingFixture({ wrap: counts.wrap });
  const random = new SeededRandom(4);
  const inodes = Array.from({ length: 50 }, (_, i) => zero.write(`f${i}`, random.bytes(CHUNK)));
  await zero.ship();
  await zero.evict(inodes);
  counts.reset();
  const { kernel } = zero;
  for (const [i, inode] of inodes.entries()) {
    zero.answered(kernel.rename(1, { name: `f${i}`, newParent: 1, newName: `g${i}` }));
    zero.answered(kernel.setattr(inode, { mode: 0o100600 }));
    kernel.setxattr(inode, { name: "user.mark", value: new Uint8Array(10) });
    if (i % 2 === 1) zero.unlink(`g${i}`);
  }
  await zero.ship();
  assert.deepEqual(counts.of("packs/"), { objects: 0, bytes: 0 });
  assert.equal(counts.of("metadata/").objects, 1);
  assert.deepEqual(counts.others.filter((call) => !call.startsWith("list lease/")), []);
});
