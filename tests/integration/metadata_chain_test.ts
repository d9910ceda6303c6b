/** The chain of metadata: crashes between its steps, two writers, old copies, holes, snapshots. */
import assert from "node:assert/strict";
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import { RecordTable } from "../../src/domain/metadata_rows.ts";
import {
  decodeMetadataObject,
  encodeMetadataObject,
  MetadataKind,
} from "../../src/format/metadata_object.ts";
import { metadataKey } from "../../src/format/keys.ts";
import { ChangeLog } from "../../src/metadata/change_log.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import type { MemoryObjectStore } from "../../src/object_store/memory_object_store.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { fromHex, hex } from "../../src/runtime/random.ts";
import { sleep } from "../../src/runtime/clock.ts";
import { METADATA_LIMITS } from "../../src/tiering/metadata_limits.ts";
import { agreeOnHead, OldCopyError } from "../../src/tiering/metadata_head.ts";
import { CHUNK, FILE_SYSTEM } from "../harness/care_fixture.ts";
import { soak } from "../harness/fault_seed.ts";
import {
  assertSound,
  copyOf,
  recoverFrom,
  ShippingFixture,
  treeOf,
} from "../harness/recovery_fixture.ts";

const bytes = (value: string) => new TextEncoder().encode(value);

async function keysOf(bucket: MemoryObjectStore): Promise<{ key: string; length: number }[]> {
  const keys: { key: string; length: number }[] = [];
  for await (const { key, length } of bucket.list("metadata/")) keys.push({ key, length });
  return keys;
}

function stateOf(cache: string) {
  const database = MetadataDatabase.open({ directory: cache, readOnly: true });
  try {
    return new ChangeLog(database).state();
  } finally {
    database.close({ clean: false });
  }
}

function agree(store: ObjectStore, cache: string) {
  return agreeOnHead({ store, fileSystem: FILE_SYSTEM, state: stateOf(cache) });
}

/** A store that calls out around each PUT of metadata. */
function watched(
  inner: MemoryObjectStore,
  on: { before?: (key: string) => void; after?: (key: string) => void },
): ObjectStore {
  return new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name !== "put") return typeof value === "function" ? value.bind(target) : value;
      return async (key: string, ...rest: [Uint8Array]) => {
        if (key.startsWith("metadata/")) on.before?.(key);
        const result = await target.put(key, ...rest);
        if (key.startsWith("metadata/")) on.after?.(key);
        return result;
      };
    },
  });
}

async function recoveredTree(fixture: ShippingFixture): Promise<Map<string, unknown>> {
  const { directory } = await recoverFrom(fixture.bucket, fixture);
  try {
    assertSound(directory);
    const database = MetadataDatabase.open({ directory, readOnly: true });
    const tree = treeOf(database);
    database.close({ clean: false });
    return tree;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("a crash before or after an object arrives goes on in one line; older copies are refused", async () => {
  const before: string[] = [];
  const after: string[] = [];
  const on: { before?: () => void; after?: () => void } = {};
  await using fixture = new ShippingFixture({ wrap: (inner) => watched(inner, on) });
  on.before = () => before.push(copyOf(fixture.cache));
  on.after = () => after.push(copyOf(fixture.cache));
  for (let i = 0; i < 3; i++) {
    fixture.write(`file ${i}`, bytes(`content ${i}`));
    await fixture.ship();
  }
  const { clock, bucket } = fixture;
  await (await fixture.lease).release();
  const [stale, ...fresh] = [after[0], before.at(-1)!, after.at(-1)!];
  for (const copy of [...before.slice(0, -1), ...after.slice(0, -1)]) {
    await assert.rejects(agree(bucket, copy), OldCopyError);
  }
  // The last object has arrived, whether this cache knows it or not.
  for (const copy of fresh) {
    const { head, adoptedBytes } = await agree(bucket, copy);
    assert.equal(head.hash, stateOf(fixture.cache).head.hash);
    assert(adoptedBytes > 0);
  }
  await using again = new ShippingFixture({ clock, bucket, cache: after.at(-1)!, takeOver: true });
  again.write("later", bytes("x"));
  await again.ship();
  assert.deepEqual(await recoveredTree(again), treeOf(again.database));
  await assert.rejects(agree(bucket, stale), /is an old copy.*gone on without it/s);
  await assert.rejects(agree(bucket, fixture.cache), OldCopyError);
  for (const copy of new Set([...before, ...after.slice(0, -1)])) {
    Deno.removeSync(copy, { recursive: true });
  }
});

Deno.test("an object that never arrived, or arrives after a new claim, costs nothing", async () => {
  const sent: { key: string; body: Uint8Array }[] = [];
  let copy = "";
  await using fixture = new ShippingFixture({
    wrap: (inner) =>
      watched(inner, { before: () => copy === "" && (copy = copyOf(fixture.cache)) }),
  });
  fixture.write("file", bytes("content"));
  await fixture.ship();
  const { clock, bucket } = fixture;
  // The first object is taken out of the bucket: it is still on its way.
  const [{ key }] = await keysOf(bucket);
  sent.push({ key, body: await bucket.get(key) });
  const { versionId } = await bucket.head(key);
  await bucket.delete(key, versionId);
  await using again = new ShippingFixture({ clock, bucket, cache: copy, takeOver: true });
  assert.equal((await agree(bucket, copy)).adoptedBytes, 0);
  await again.lease;
  for (const { key, body } of sent) await bucket.put(key, body);
  again.write("other", bytes("more"));
  await again.ship();
  assert.deepEqual(await recoveredTree(again), treeOf(again.database));
});

Deno.test("what a mount adds after another took over does not count, and it stops within a minute", async () => {
  await using first = new ShippingFixture();
  const { clock, bucket } = first;
  first.write("shared", bytes("1"));
  await first.ship();
  const { directory } = await recoverFrom(bucket, first);
  await using second = new ShippingFixture({ clock, bucket, cache: directory, takeOver: true });
  const lost: string[] = [];
  first.engine.shipper!.onLost = (reason) => lost.push(reason);
  first.write("from the first", bytes("2"));
  await second.lease;
  await first.ship();
  // The second has shipped nothing yet; its claim alone says what counts.
  assert.deepEqual(await recoveredTree(second), treeOf(second.database));
  second.write("from the second", bytes("3"));
  await second.ship();
  assert.deepEqual(await recoveredTree(second), treeOf(second.database));
  first.write("too late", bytes("4"));
  await first.pass(61_000);
  first.kernel.mkdir(1, { name: "never shipped" });
  await assert.rejects(first.ship(), /was claimed by/);
  assert.match(lost[0], /was claimed by/);
  assert.deepEqual(await recoveredTree(second), treeOf(second.database));
});

Deno.test("two objects that follow the same one stop a recovery, and both are shown", async () => {
  await using fixture = new ShippingFixture();
  fixture.write("one", bytes("1"));
  await fixture.ship();
  const atMs = fixture.clock.wallMs();
  await fixture.pass(60_000);
  fixture.write("two", bytes("2"));
  await fixture.ship();
  const { bucket, clock } = fixture;
  const last = (await keysOf(bucket)).at(-1)!.key;
  const object = decodeMetadataObject(await bucket.get(last));
  const twin = encodeMetadataObject({ ...object, timeMs: object.timeMs + 1 }, object.payload);
  const twinKey = metadataKey({ ...object, kind: "changes" }, "f".repeat(32));
  await bucket.put(twinKey, twin.bytes);
  await assert.rejects(
    recoverFrom(bucket, fixture),
    (error: Error) => error.message.includes(last) && error.message.includes(twinKey),
  );
  const { directory } = await recoverFrom(bucket, { clock, atMs });
  Deno.removeSync(directory, { recursive: true });
  // The very same bytes twice are one object.
  await bucket.delete(twinKey, (await bucket.head(twinKey)).versionId);
  await bucket.put(twinKey, await bucket.get(last));
  assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database));
});

Deno.test("an object that is missing in the middle is told of; a damaged one is an error", async () => {
  await using fixture = new ShippingFixture();
  for (let i = 0; i < 3; i++) {
    fixture.write(`file ${i}`, bytes(`${i}`));
    await fixture.ship();
  }
  const { bucket } = fixture;
  const { key } = (await keysOf(bucket))[1];
  const body = await bucket.get(key);
  await bucket.delete(key, (await bucket.head(key)).versionId);
  const { directory, plan } = await recoverFrom(bucket, fixture);
  assert.match(plan.notes.join(), /newer objects do not follow from these/);
  Deno.removeSync(directory, { recursive: true });
  body[130] ^= 1;
  await bucket.put(key, body);
  await assert.rejects(recoverFrom(bucket, fixture), /does not have its hash/);
});

Deno.test("a state that was sent in part is not applied, and its rest is sent by the next mount", async () => {
  let copy = "";
  await using fixture = new ShippingFixture({
    wrap: (inner) =>
      watched(inner, {
        after: (key) => {
          if (copy === "" && !key.includes("/0000000000000000-")) copy = copyOf(fixture.cache);
        },
      }),
  });
  const { database, clock, bucket } = fixture;
  fixture.write("first", bytes("1"));
  await fixture.ship();
  const whole = treeOf(database);
  database.transaction(() => {
    for (let i = 0; i < 6_000; i++) {
      database.statement(
        `INSERT INTO inode (mode, uid, gid, nlink, atime_s, atime_ns, mtime_s, mtime_ns, ctime_s,
           ctime_ns, btime_s, btime_ns) VALUES (33188, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1)`,
      ).run();
      database.statement(
        "INSERT INTO dentry (parent, name, inode) VALUES (1, ?, last_insert_rowid())",
      )
        .run(bytes(`${i}`));
    }
  });
  const before = new Set((await keysOf(bucket)).map(({ key }) => key));
  await fixture.ship();
  const sent = (await keysOf(bucket)).map(({ key }) => key).filter((key) => !before.has(key));
  assert.equal(sent.length, 3);
  // Only one of the three had arrived when the disk burned, or the machine crashed.
  const links = await Promise.all(sent.map(async (key) => {
    const { previous } = decodeMetadataObject(await bucket.get(key));
    return { key, first: [...before].length > 0 && hex(previous) === stateOf(copy).head.hash };
  }));
  for (const { key, first } of links) {
    if (!first) await bucket.delete(key, (await bucket.head(key)).versionId);
  }
  const { directory, plan } = await recoverFrom(bucket, fixture);
  assert.equal(plan.incomplete, 1);
  const recovered = MetadataDatabase.open({ directory, readOnly: true });
  assert.deepEqual(treeOf(recovered), whole);
  recovered.close({ clean: false });
  Deno.removeSync(directory, { recursive: true });
  await using again = new ShippingFixture({ clock, bucket, cache: copy, takeOver: true });
  await again.ship();
  assert.deepEqual(await recoveredTree(again), treeOf(database));
});

Deno.test("a snapshot is enough without what is older, and what has not changed is not sent again", async () => {
  await using fixture = new ShippingFixture({ snapshotBytes: 1 });
  const { database, bucket } = fixture;
  fixture.write("content", new Uint8Array(3 * CHUNK).fill(7));
  database.transaction(() => {
    for (let i = 0; i < 20_000; i++) {
      database.statement(
        `INSERT INTO inode (mode, uid, gid, nlink, atime_s, atime_ns, mtime_s, mtime_ns, ctime_s,
           ctime_ns, btime_s, btime_ns) VALUES (33188, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1)`,
      ).run();
      database.statement(
        "INSERT INTO dentry (parent, name, inode) VALUES (1, ?, last_insert_rowid())",
      )
        .run(bytes(`file number ${i}`));
    }
  });
  await fixture.ship();
  await fixture.pass(10_000);
  const first = await keysOf(bucket);
  const segments = first.filter(({ key }) => key.endsWith("-segment"));
  assert.equal(first.filter(({ key }) => key.endsWith("-snapshot")).length, 1);
  assert(segments.length > 8, `${segments.length} segments`);
  // Changes of more than half a snapshot, in few rows.
  const large = new Uint8Array(60_000);
  crypto.getRandomValues(large);
  const inode = fixture.find("file number 7")!;
  for (let i = 0; i < 12; i++) {
    const value = large.slice(i);
    fixture.kernel.setxattr(inode, { name: "user.large", value });
    await fixture.ship();
  }
  fixture.unlink("file number 9");
  await fixture.ship();
  await fixture.pass(10_000);
  const second = await keysOf(bucket);
  const snapshots = second.filter(({ key }) => key.endsWith("-snapshot"));
  assert.equal(snapshots.length, 2);
  const added = second.filter(({ key }) => key.endsWith("-segment")).length - segments.length;
  assert(added <= 5, `${added} of ${segments.length} segments were sent again`);
  // Everything older than the last snapshot may go.
  const end = snapshots.at(-1)!.key.slice(0, -"-snapshot".length - 33).split("-")[1];
  for (const { key } of second) {
    const last = key.split("/")[2].split("-")[1];
    if (/-(segment|snapshot)$/.test(key) || last >= end) continue;
    await bucket.delete(key, (await bucket.head(key)).versionId);
  }
  assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database));
});

const RENAMED = soak ? 100_000 : 10_000;

Deno.test(`renaming a directory of ${RENAMED} files uploads less than 16 KiB`, async () => {
  await using fixture = new ShippingFixture();
  const { database, kernel, bucket } = fixture;
  const directory = fixture.answered(kernel.mkdir(1, { name: "full" })).inode;
  database.transaction(() => {
    const inode = database.statement(
      `INSERT INTO inode (mode, uid, gid, nlink, atime_s, atime_ns, mtime_s, mtime_ns, ctime_s,
         ctime_ns, btime_s, btime_ns) VALUES (33188, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1)`,
    );
    const dentry = database.statement(
      "INSERT INTO dentry (parent, name, inode) VALUES (?, ?, last_insert_rowid())",
    );
    for (let i = 0; i < RENAMED; i++) {
      inode.run();
      dentry.run(directory, bytes(`photo ${i}.jpg`));
    }
  });
  await fixture.ship();
  const before = await keysOf(bucket);
  fixture.answered(kernel.rename(1, { name: "full", newParent: 1, newName: "renamed" }));
  await fixture.ship();
  const added = (await keysOf(bucket)).filter(({ key }) => !before.some((old) => old.key === key));
  assert.equal(added.length, 1);
  assert(added[0].length < 16 * 1024, `${added[0].length} bytes`);
  const tree = await recoveredTree(fixture);
  assert(tree.has(`renamed/photo ${RENAMED - 1}.jpg`) && !tree.has("full"));
  assert.equal(tree.size, RENAMED + 2);
});

Deno.test("a log that was given up is followed by a snapshot, and nothing older is mixed with it", async () => {
  await using fixture = new ShippingFixture();
  fixture.write("old", bytes("1"));
  await fixture.ship();
  fixture.unlink("old");
  fixture.write("new", bytes("2"));
  await fixture.port.call("metadataRestart", {});
  fixture.write("newer", bytes("3"));
  // What is in the bucket now cannot be recovered beyond the gap before the snapshot is there.
  assert([...(await recoveredTree(fixture)).keys()].includes("old"));
  await fixture.ship();
  assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database));
  fixture.write("newest", bytes("4"));
  await fixture.ship();
  assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database));
});

/** The same store, of which each put is made, with whatever goes with it, by `around`. */
function withPut(
  inner: ObjectStore,
  around: (
    put: () => ReturnType<ObjectStore["put"]>,
    key: string,
  ) => ReturnType<ObjectStore["put"]>,
): ObjectStore {
  return new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name !== "put") return typeof value === "function" ? value.bind(target) : value;
      return (...rest: Parameters<ObjectStore["put"]>) =>
        around(() => target.put(...rest), rest[0]);
    },
  });
}

Deno.test("changes behind a log that was given up are not applied to a snapshot from before it", async () => {
  let afterPut: () => Promise<void> = () => Promise.resolve();
  await using fixture: ShippingFixture = new ShippingFixture({
    snapshotBytes: 1,
    wrap: (inner) =>
      withPut(inner, async (put) => {
        const result = await put();
        await afterPut();
        return result;
      }),
  });
  fixture.write("name", bytes("1"));
  await fixture.ship();
  await fixture.pass(10_000);
  const { plan, directory } = await recoverFrom(fixture.bucket, fixture);
  Deno.removeSync(directory, { recursive: true });
  assert.deepEqual(
    [plan.links, plan.notes],
    [[], []],
    "nothing follows the snapshot, nor is missed",
  );
  const before = await recoveredTree(fixture);
  // That the old file goes is not told; that a new one has its name is.
  fixture.unlink("name");
  await fixture.port.call("metadataRestart", {});
  fixture.write("name", bytes("2, longer"));
  let looks = 0;
  afterPut = async () => {
    const isLast = (await keysOf(fixture.bucket)).filter(({ key }) => key.endsWith("-snapshot"))
      .length > 1;
    if (!isLast) assert.deepEqual(await recoveredTree(fixture), before);
    looks++;
  };
  await fixture.ship();
  assert(looks > 3, `${looks} looks`);
  assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database));
});

Deno.test("two who wanted a snapshot at a time mixed its segments: no recovery could use it", async () => {
  await using fixture = new ShippingFixture();
  for (let i = 0; i < 50; i++) fixture.write(`file ${i}`, bytes(`${i}`));
  await fixture.ship();
  await fixture.port.call("metadataRestart", {});
  const { shipper } = fixture.engine;
  await fixture.clock.until(Promise.all([shipper!.shipAll(), shipper!.shipAll()]));
  const keys = (await keysOf(fixture.bucket)).map(({ key }) => key);
  assert.equal(keys.filter((key) => key.endsWith("-snapshot")).length, 1);
  const { directory, plan, result } = await recoverFrom(fixture.bucket, fixture);
  Deno.removeSync(directory, { recursive: true });
  assert.deepEqual([result.plan.snapshot, result.plan.notes], [plan.snapshot, []]);
  assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database));
});

Deno.test("a segment is not made of what another reader has asked for", async () => {
  await using fixture = new ShippingFixture();
  fixture.write("file", bytes("1"));
  await fixture.ship();
  const { exporter } = fixture;
  const inodes = (await exporter.segment({ table: RecordTable.INODE, after: 0 }))!;
  await exporter.segment({ table: RecordTable.DENTRY, after: 0 });
  const header = { fileSystem: fromHex(FILE_SYSTEM), epoch: 1, first: 0, last: 0 };
  await assert.rejects(
    exporter.segmentObject({ ...header, content: inodes.content }),
    /another segment was read in the meantime/,
  );
});

Deno.test("a snapshot with a damaged segment is passed over for what is older, as long as that is there", async () => {
  await using fixture = new ShippingFixture({ snapshotBytes: 1 });
  const { bucket } = fixture;
  for (const name of ["one", "two"]) {
    fixture.write(name, bytes(name));
    await fixture.ship();
    await fixture.pass(10_000);
  }
  const newest = (await recoverFrom(bucket, fixture)).plan.snapshot!;
  const { key } = newest.manifest.segments.at(-1)!;
  const { versionId } = await bucket.head(key);
  const body = await bucket.get(key);
  await bucket.delete(key, versionId);
  for (const damage of ["missing", "flipped"]) {
    if (damage === "flipped") {
      body[130] ^= 1;
      await bucket.put(key, body);
    }
    const { directory, result } = await recoverFrom(bucket, fixture);
    Deno.removeSync(directory, { recursive: true });
    assert.notEqual(result.plan.snapshot?.key, newest.key);
    assert.match(result.plan.notes.join(), new RegExp(`snapshot ${newest.key} cannot be used: `));
    assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database));
  }
  // With nothing else left that is not an empty file system.
  for (const { key } of await keysOf(bucket)) {
    if (key === newest.key || key.endsWith("-segment")) continue;
    await bucket.delete(key, (await bucket.head(key)).versionId);
  }
  await assert.rejects(recoverFrom(bucket, fixture), /cannot be put together/);
});

Deno.test("a log that is given up while a snapshot is on its way costs the bucket no change", async () => {
  // Between two segments; after the last change that the snapshot tells of, before its manifest is sent.
  for (const moment of ["segments", "manifest"]) {
    let given = false;
    const giveUp = async () => {
      if (given) return;
      given = true;
      fixture.unlink("old");
      fixture.write("new", bytes("2"));
      await fixture.port.call("metadataRestart", {});
    };
    await using fixture: ShippingFixture = new ShippingFixture({
      snapshotBytes: 1,
      wrap: (inner) =>
        withPut(inner, async (put, key) => {
          if (moment === "manifest" && key.endsWith("-snapshot")) await giveUp();
          return await put();
        }),
    });
    fixture.write("old", bytes("1"));
    let segments = 0;
    fixture.exporter.before = async (call) => {
      if (moment === "segments" && call === "segment" && ++segments === 6) await giveUp();
    };
    await fixture.ship();
    await fixture.pass(10_000);
    assert(given, `no ${moment} were sent`);
    await fixture.ship();
    await fixture.pass(10_000);
    assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database), moment);
  }
});

Deno.test("a log is not given up in the middle of being read: what went would look shipped", async () => {
  await using fixture = new ShippingFixture();
  const { exporter, clock, database } = fixture;
  const restarts = () => new ChangeLog(database).state().restarts;
  fixture.write("old", bytes("1"));
  await fixture.ship();
  fixture.unlink("old");
  fixture.write("new", bytes("2"));
  const { BOUND_MS, LOG_KEYS } = METADATA_LIMITS;
  const unshipped = exporter.unshipped.bind(exporter);
  let looked = 0;
  exporter.unshipped = (limit) => {
    if (limit !== LOG_KEYS) return unshipped(limit);
    return Promise.resolve(looked++ === 0 ? LOG_KEYS : 0);
  };
  let given: number | undefined;
  exporter.before = async (call) => {
    if (call !== "changes" || given !== undefined) return;
    given = NaN;
    await sleep(clock, BOUND_MS + 1000, new AbortController().signal);
    assert.equal(looked, 1, "nobody looked how long the log is");
    given = restarts();
  };
  await fixture.ship();
  await fixture.pass(1000);
  assert.deepEqual([given, restarts()], [0, 1]);
  await fixture.ship();
  assert.deepEqual(await recoveredTree(fixture), treeOf(database));
});

Deno.test("a sync ships the newest changes behind an object that an earlier try had left unfinished", async () => {
  await using fixture = new ShippingFixture();
  const { port } = fixture;
  fixture.write("first", bytes("1"));
  const call = port.call.bind(port);
  let full = true;
  port.call = (command, argument) => {
    if (command === "metadataShipped" && full) {
      full = false;
      return Promise.reject(new FsError(Errno.ENOSPC, "the cache's disk is full"));
    }
    return call(command, argument);
  };
  await assert.rejects(fixture.ship(), /disk is full/);
  fixture.write("second", bytes("2"));
  await fixture.ship();
  assert.deepEqual(await recoveredTree(fixture), treeOf(fixture.database));
});

Deno.test("objects of another file system, and manifests in the place of changes, are refused", async () => {
  await using fixture = new ShippingFixture();
  fixture.write("file", bytes("1"));
  await fixture.ship();
  const { bucket } = fixture;
  const { hash } = stateOf(fixture.cache).head;
  const header = {
    kind: MetadataKind.CHANGES,
    complete: true,
    restart: false,
    epoch: 1,
    first: 9,
    last: 10,
    timeMs: 1,
    previous: fromHex(hash),
    count: 0,
  };
  const put = async (fileSystem: string, kind: MetadataKind, unique: string) => {
    const object = { ...header, kind, fileSystem: fromHex(fileSystem) };
    const key = metadataKey({ ...header, kind: "changes" }, unique.repeat(32));
    await bucket.put(key, encodeMetadataObject(object, new Uint8Array()).bytes);
    await assert.rejects(
      recoverFrom(bucket, fixture),
      (error: Error) => error.message.includes(key),
    );
    await assert.rejects(agree(bucket, fixture.cache), OldCopyError);
    await bucket.delete(key, (await bucket.head(key)).versionId);
  };
  await put(hex(new Uint8Array(16)), MetadataKind.CHANGES, "a");
  await put(FILE_SYSTEM, MetadataKind.SNAPSHOT, "b");
});
