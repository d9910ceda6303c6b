/** The bucket is enough: what was shipped comes back, and nothing else is made up. */
import assert from "node:assert/strict";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { readPolicyCopy } from "../../src/metadata/policy_copy.ts";
import { XattrTable } from "../../src/metadata/xattr_table.ts";
import { CHUNK } from "../harness/care_fixture.ts";
import {
  assertSound,
  recoverFrom,
  ShippingFixture,
  text,
  treeOf,
} from "../harness/recovery_fixture.ts";

const bytes = (value: string) => new TextEncoder().encode(value);
const data = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 0xff);

function contents(directory: string): Map<string, unknown> {
  const database = MetadataDatabase.open({ directory, readOnly: true });
  try {
    return treeOf(database);
  } finally {
    database.close({ clean: false });
  }
}

async function withFixture(body: (fixture: ShippingFixture) => Promise<void>): Promise<void> {
  await using fixture = new ShippingFixture();
  await body(fixture);
}

/** Opens what was recovered as a mount would, and lets `body` use it. */
async function mounted(
  fixture: ShippingFixture,
  directory: string,
  body: (again: ShippingFixture) => Promise<void>,
): Promise<void> {
  const { clock, bucket } = fixture;
  await using again = new ShippingFixture({ clock, bucket, cache: directory, takeOver: true });
  await body(again);
}

Deno.test("a tree with links, attributes, odd names and large files comes back, content too", async () => {
  await withFixture(async (fixture) => {
    const { kernel } = fixture;
    const files = new Map<string, Uint8Array>();
    const write = (name: string, content: Uint8Array, parent = 1) => {
      files.set(name, content);
      return fixture.write(name, content, parent);
    };
    const small = write("small", bytes("hello"));
    write("large", data(5 * CHUNK + 77, 1));
    write("twice", data(5 * CHUNK + 77, 1));
    fixture.write("empty", new Uint8Array());
    const directory = fixture.answered(kernel.mkdir(1, { name: "dir", mode: 0o2750 })).inode;
    write("inside", bytes("deep"), directory);
    kernel.link(1, { name: "other name", target: small });
    kernel.symlink(directory, { name: "link", target: "../small" });
    kernel.mknod(1, { name: "fifo", mode: 0o010600 });
    kernel.mknod(1, { name: new Uint8Array([0x61, 0xff, 0x0a]), mode: 0o100600 });
    kernel.setxattr(small, { name: "user.mark", value: bytes("red") });
    kernel.setattr(small, { mode: 0o100640 });
    await fixture.ship();
    const before = treeOf(fixture.database);
    const { directory: recovered, result, plan } = await recoverFrom(fixture.bucket, fixture);
    assert.deepEqual(result.notNewest, []);
    assert.equal(plan.pointMs! <= fixture.clock.wallMs(), true);
    assertSound(recovered);
    assert.deepEqual(contents(recovered), before);
    await mounted(fixture, recovered, async (again) => {
      for (const name of ["small", "large", "twice", "other name"]) {
        const inode = again.find(name)!;
        assert.deepEqual(await again.read(inode), files.get(name) ?? files.get("small"), name);
      }
      assert.deepEqual(await again.read(again.find("inside", directory)!), bytes("deep"));
      // Life goes on: what is written now is shipped in a line of its own, and recovered as well.
      again.write("new", bytes("after"));
      await again.ship();
      const third = await recoverFrom(fixture.bucket, fixture);
      assert(contents(third.directory).has("new") && contents(third.directory).has("dir/inside"));
      assert.deepEqual(contents(third.directory), treeOf(again.database));
      Deno.removeSync(third.directory, { recursive: true });
    });
  });
});

Deno.test("what never reached the bucket is older, its predecessor, or left out; and listed", async () => {
  await withFixture(async (fixture) => {
    const { kernel } = fixture;
    fixture.write("kept", bytes("first version"));
    fixture.write("replaced", data(3 * CHUNK, 4));
    await fixture.ship();
    await fixture.pass(10_000);
    fixture.write("kept", bytes("the second version, longer"));
    fixture.write("temporary", bytes("new content by rename"));
    fixture.answered(
      kernel.rename(1, { name: "temporary", newParent: 1, newName: "replaced" }),
    );
    fixture.write("never", bytes("seen"));
    fixture.write("nothing", new Uint8Array());
    fixture.engine.pauseUploads();
    await fixture.shipMetadata();
    const { directory, result } = await recoverFrom(fixture.bucket, fixture);
    const listed = result.notNewest.map(({ path, became, size }) => [text(path), became, size])
      .sort();
    assert.deepEqual(listed, [
      ["kept", "older", 13],
      ["never", "missing", undefined],
      ["replaced", "predecessor", 3 * CHUNK],
    ]);
    assertSound(directory);
    const tree = contents(directory);
    assert.deepEqual([...tree.keys()].sort(), ["", "kept", "nothing", "replaced"]);
    await mounted(fixture, directory, async (again) => {
      assert.deepEqual(await again.read(again.find("kept")!), bytes("first version"));
      assert.deepEqual(await again.read(again.find("replaced")!), data(3 * CHUNK, 4));
    });
  });
});

Deno.test("an empty file of which nothing was saved came back as clean, and was never saved", async () => {
  await withFixture(async (fixture) => {
    fixture.write("nothing", new Uint8Array());
    fixture.engine.pauseUploads();
    await fixture.shipMetadata();
    const { directory } = await recoverFrom(fixture.bucket, fixture);
    assertSound(directory);
    await mounted(fixture, directory, async (again) => {
      const inode = again.find("nothing")!;
      const saved = () =>
        again.database.statement(
          `SELECT v.size, i.dirty FROM inode i LEFT JOIN version v ON v.inode = i.id WHERE i.id = ?`,
        ).get(inode);
      assert.deepEqual({ ...saved() }, { size: null, dirty: 1 });
      await again.sync();
      assert.deepEqual({ ...saved() }, { size: 0, dirty: 0 });
    });
  });
});

Deno.test("--at goes back in time, and the line of metadata goes on from its end", async () => {
  await withFixture(async (fixture) => {
    fixture.write("one", bytes("1"));
    await fixture.ship();
    const atMs = fixture.clock.wallMs();
    await fixture.pass(60_000);
    fixture.write("two", bytes("2"));
    await fixture.ship();
    const { directory, plan } = await recoverFrom(fixture.bucket, {
      ...fixture,
      clock: fixture.clock,
      atMs,
    });
    assert.deepEqual([...contents(directory).keys()], ["", "one"]);
    const newest = await recoverFrom(fixture.bucket, fixture);
    assert.equal(plan.tip.hash, newest.plan.tip.hash);
    Deno.removeSync(newest.directory, { recursive: true });
    Deno.removeSync(directory, { recursive: true });
    await assert.rejects(
      recoverFrom(fixture.bucket, { clock: fixture.clock, atMs: 1000 }),
      /nothing in memory: is from before 1970/,
    );
  });
});

Deno.test("an idle mount asks the bucket nothing; a change goes up within the interval", async () => {
  await withFixture(async (fixture) => {
    fixture.write("file", bytes("x"));
    await fixture.ship();
    const count = async () => {
      let keys = 0;
      for await (const _ of fixture.bucket.list("metadata/")) keys++;
      return keys;
    };
    const before = await count();
    await fixture.pass(10 * 60_000);
    assert.equal(await count(), before);
    fixture.kernel.mkdir(1, { name: "d" });
    await fixture.pass(64_000);
    assert.equal(await count(), before + 1);
    const { directory } = await recoverFrom(fixture.bucket, fixture);
    assert(contents(directory).has("d"));
    Deno.removeSync(directory, { recursive: true });
  });
});

Deno.test("the policy comes back with the metadata, hidden from programs and never in force by itself", async () => {
  await withFixture(async (fixture) => {
    const { kernel, clock, port, bucket } = fixture;
    const recovered = async () => {
      await fixture.ship();
      const { directory } = await recoverFrom(bucket, fixture);
      const database = MetadataDatabase.open({ directory, readOnly: true });
      const text = readPolicyCopy(new XattrTable(database));
      database.close({ clean: false });
      return text;
    };
    fixture.write("file", bytes("x"));
    assert.equal(await recovered(), undefined, "a bucket without a policy is as good");
    const policy = "version: 1 # ünï\nrules: []\n";
    const keep = (text: string) => clock.until(port.call("keepPolicy", { text }));
    assert.equal(await keep(policy), true);
    assert.equal(await recovered(), policy);
    assert.equal(kernel.listxattr(1).value.length, 0);
    assert.notEqual(kernel.getxattr(1, { name: "user.zero.policy" }).errno, 0);
    assert.notEqual(kernel.setxattr(1, { name: "user.zero.policy", value: bytes("") }).errno, 0);
    // The same once more is nothing to ship.
    const before = fixture.database.statement("SELECT count(*) AS n FROM changes").get();
    assert.equal(await keep(policy), true);
    assert.deepEqual(fixture.database.statement("SELECT count(*) AS n FROM changes").get(), before);
    // One that is too long has no copy; an old one in its place would be a lie.
    assert.equal(await keep("#".repeat(65_537)), false);
    assert.equal(await recovered(), undefined);
  });
});

/** Its trash and its grace pass, each marked with the store's clock. */
async function removedByCollection(fixture: ShippingFixture): Promise<void> {
  for (let week = 0; week < 4; week++) {
    await fixture.ship();
    const before = (await fixture.packObjects()).length;
    await fixture.collect();
    fixture.turn();
    if ((await fixture.packObjects()).length < before) return;
    fixture.days(8);
  }
  assert.fail("the pack was never deleted");
}

Deno.test("what was collected after the time that --at goes back to was taken for saved, and lost", async () => {
  await withFixture(async (fixture) => {
    const content = data(2 * CHUNK, 5);
    fixture.write("removed", content);
    await fixture.ship();
    const atMs = fixture.clock.wallMs();
    fixture.days(1);
    fixture.unlink("removed");
    await removedByCollection(fixture);
    await fixture.ship();
    // A state in which the pack is still referred to.
    const { directory } = await recoverFrom(fixture.bucket, { clock: fixture.clock, atMs });
    await mounted(fixture, directory, async (again) => {
      const inode = again.write("copy", content);
      await again.ship();
      await again.evict([inode]);
      assert.deepEqual(await again.read(inode), content);
    });
  });
});

Deno.test("what garbage collection had taken away after the recovered state was taken for saved, and lost", async () => {
  await withFixture(async (fixture) => {
    const content = data(2 * CHUNK, 5);
    fixture.write("kept", data(CHUNK, 6));
    fixture.write("removed", content);
    await fixture.ship();
    fixture.unlink("removed");
    await removedByCollection(fixture);
    // The disk burns before the bucket hears of that: its metadata still names the pack.
    const { directory } = await recoverFrom(fixture.bucket, fixture);
    await mounted(fixture, directory, async (again) => {
      // Its owner has a copy, and puts the file back.
      const inode = again.write("removed", content);
      await again.ship();
      await again.evict([inode]);
      assert.deepEqual(await again.read(inode), content);
    });
  });
});

Deno.test("what was saved while metadata was shipped was called safe, and the bucket did not know it", async () => {
  await withFixture(async (fixture) => {
    const { engine } = fixture;
    fixture.write("file", data(CHUNK, 1));
    const told: Record<string, number>[] = [];
    const look = async () => {
      const { unsafeFiles } = await engine.status();
      told.push({ unsafeFiles, objects: engine.shipper!.report().objects });
    };
    // What is safe is counted before metadata is read.
    await fixture.sync({ onUploaded: look });
    await look();
    assert.deepEqual(told, [{ unsafeFiles: 0, objects: 0 }, { unsafeFiles: 0, objects: 1 }]);
  });
});
