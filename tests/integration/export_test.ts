/** A file system in a plain directory, without a mount: whole, resumable, never over something else. */
import assert from "node:assert/strict";
import { StoreError } from "../../src/object_store/object_store.ts";
import * as libc from "../../src/runtime/libc.ts";
import { CareFixture, CHUNK } from "../harness/care_fixture.ts";
import { CountedStore, exportCache } from "../harness/export_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";
import { scratch } from "../harness/recovery_fixture.ts";

const bytes = (value: string) => new TextEncoder().encode(value);
/** Bytes that do not compress. */
const data = (length: number, seed: number) => new SeededRandom(seed + 1).bytes(length);

interface Scene {
  fixture: CareFixture;
  bucket: CountedStore;
  to: string;
  run: (options?: Partial<Parameters<typeof exportCache>[1]>) => ReturnType<typeof exportCache>;
}

async function scene(body: (scene: Scene) => Promise<void>): Promise<void> {
  await using fixture = new CareFixture();
  const bucket = new CountedStore(fixture.bucket);
  const to = `${scratch()}/to`;
  await body({
    fixture,
    bucket,
    to,
    run: async (options) => {
      fixture.core.flushAll();
      fixture.core.inodes.flush(Infinity);
      return await exportCache(fixture.cache, { to, store: bucket.store, ...options });
    },
  });
}

/** Names below a directory, at every depth. */
function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) => [
    name,
    ...(isDirectory ? names(`${directory}/${name}`).map((each) => `${name}/${each}`) : []),
  ]).sort();
}

Deno.test("local, uploaded and evicted content, links, holes and odd names lie in the directory", () =>
  scene(async ({ fixture, bucket, to, run }) => {
    const { kernel } = fixture;
    const evicted = fixture.write("evicted", data(5 * CHUNK + 77, 1));
    fixture.write("resident", data(3 * CHUNK, 2));
    const directory = fixture.answered(kernel.mkdir(1, { name: "dir", mode: 0o750 })).inode;
    fixture.write("inside", bytes("deep"), directory);
    const odd = new Uint8Array([0x61, 0xff, 0x0a]);
    kernel.mknod(1, { name: odd, mode: 0o100600 });
    kernel.symlink(1, { name: "link", target: new Uint8Array([0x2e, 0xfe]) });
    kernel.mknod(1, { name: "fifo", mode: 0o010640 });
    kernel.link(directory, { name: "also", target: evicted });
    kernel.setxattr(evicted, { name: "user.mark", value: bytes("red") });
    kernel.setattr(evicted, { mode: 0o100604, mtime: { seconds: -5, nanoseconds: 123456789 } });
    kernel.setattr(directory, { mtime: { seconds: 7, nanoseconds: 1 } });
    await fixture.sync();
    await fixture.evict([evicted]);
    const sparse = fixture.write("sparse", bytes("head"));
    kernel.setattr(sparse, { size: 300 * CHUNK });
    fixture.write("dirty", data(2 * CHUNK + 1, 3));

    const report = await run();
    assert.deepEqual(report.problems, []);
    assert.equal(report.files, 6);
    assert.deepEqual(Deno.readFileSync(`${to}/evicted`), data(5 * CHUNK + 77, 1));
    assert.deepEqual(Deno.readFileSync(`${to}/resident`), data(3 * CHUNK, 2));
    assert.deepEqual(Deno.readFileSync(`${to}/dirty`), data(2 * CHUNK + 1, 3));
    assert.equal(Deno.readTextFileSync(`${to}/dir/inside`), "deep");
    assert(bucket.bytes < 6 * CHUNK, "only what is not here comes from the bucket");
    const root = bytes(`${to}/`);
    assert.equal(typeof libc.lstat(new Uint8Array([...root, ...odd])), "object");
    assert.deepEqual(libc.readlink(`${to}/link`), new Uint8Array([0x2e, 0xfe]));
    const status = libc.lstat(`${to}/evicted`) as libc.FileStatus;
    assert.deepEqual(status.mtime, { seconds: -5, nanoseconds: 123456789 });
    assert.equal(status.mode, 0o100604);
    assert.equal(status.inode, (libc.lstat(`${to}/dir/also`) as libc.FileStatus).inode);
    assert.deepEqual(libc.lgetxattr(`${to}/evicted`, "user.mark"), bytes("red"));
    assert.equal((libc.lstat(`${to}/fifo`) as libc.FileStatus).mode, 0o010640);
    const dir = libc.lstat(`${to}/dir`) as libc.FileStatus;
    assert.deepEqual([dir.mode, dir.mtime], [0o040750, { seconds: 7, nanoseconds: 1 }]);
    const hole = libc.lstat(`${to}/sparse`) as libc.FileStatus;
    assert.equal(hole.size, 300 * CHUNK);
    assert(hole.blocks * 512 <= CHUNK, `a hole takes ${hole.blocks} blocks`);
    assert.equal(names(to).includes(".zero-export"), false);
  }));

Deno.test("small files that lie together in packs cost few requests", () =>
  scene(async ({ fixture, bucket, run }) => {
    const inodes = Array.from({ length: 60 }, (_, i) => fixture.write(`${i}`, data(700, i)));
    await fixture.sync();
    await fixture.evict(inodes);
    const packs = (await fixture.packObjects()).length;
    assert.equal((await run()).files, 60);
    assert(bucket.gets <= packs + 4, `${bucket.gets} requests for ${packs} packs`);
  }));

Deno.test("after an interruption, complete files and complete chunks are not downloaded again", () =>
  scene(async ({ fixture, bucket, to, run }) => {
    const files = ["a", "b", "c"];
    const inodes = files.map((name, i) => fixture.write(name, data(20 * CHUNK, i)));
    await fixture.sync();
    await fixture.evict(inodes);
    // Each lies in several packs, and each pack is one request.
    let left = 4;
    bucket.before = () => {
      if (left-- <= 0) throw new StoreError("unavailable", "the network is gone");
    };
    const slow = { parallel: 1 };
    await assert.rejects(run(slow), /the store fails: the network is gone/);
    const complete = names(to).filter((name) => files.includes(name));
    assert.equal(complete.length, 1);
    assert.equal(bucket.gets, 4);
    bucket.before = () => {};
    const report = await run(slow);
    assert.equal(report.unchanged, complete.length);
    assert.equal(report.files, 3 - complete.length);
    const stored = 3 * 20 * CHUNK;
    assert(bucket.bytes <= stored + 64 * 1024, `${bucket.bytes} bytes for ${stored}`);
    files.forEach((name, i) =>
      assert.deepEqual(Deno.readFileSync(`${to}/${name}`), data(20 * CHUNK, i))
    );
    const again = await run();
    assert.deepEqual([again.files, again.unchanged, again.downloaded], [0, 3, 0]);
  }));

Deno.test("what is there and different stays, is listed, and is replaced only with force", () =>
  scene(async ({ fixture, to, run }) => {
    fixture.write("file", bytes("wanted"));
    const directory = fixture.answered(fixture.kernel.mkdir(1, { name: "dir" })).inode;
    fixture.write("inside", bytes("deep"), directory);
    fixture.kernel.symlink(1, { name: "link", target: "new" });
    const outside = scratch();
    Deno.mkdirSync(to);
    Deno.writeTextFileSync(`${to}/file`, "mine");
    Deno.writeTextFileSync(`${to}/other`, "mine too");
    Deno.symlinkSync(outside, `${to}/dir`);
    Deno.symlinkSync("old", `${to}/link`);
    const { problems, problemCount } = await run();
    assert.deepEqual(problems.map(({ path }) => path).sort(), ["dir", "file", "link"]);
    assert.equal(problemCount, 3);
    assert.equal(Deno.readTextFileSync(`${to}/file`), "mine");
    assert.equal(Deno.readLinkSync(`${to}/link`), "old");
    assert.deepEqual(names(outside), [], "nothing is written through a link");
    const forced = await run({ force: true });
    assert.deepEqual(forced.problems, []);
    assert.equal(Deno.readTextFileSync(`${to}/file`), "wanted");
    assert.equal(Deno.readTextFileSync(`${to}/dir/inside`), "deep");
    assert.equal(Deno.readTextFileSync(`${to}/other`), "mine too");
    assert.deepEqual(names(outside), []);
  }));

Deno.test("a file whose pack is damaged or gone is listed, and no part of it gets its name", () =>
  scene(async ({ fixture, bucket, to, run }) => {
    const inodes = ["a", "b"].map((name, i) => fixture.write(name, data(6 * CHUNK, i)));
    await fixture.sync();
    await fixture.evict(inodes);
    const keys = await fixture.packObjects();
    const [gone] = keys;
    bucket.before = (key) => {
      if (key === gone) throw new StoreError("missing", `${key} is gone`);
    };
    const first = await run();
    assert.equal(first.problemCount, first.problems.length);
    assert(first.problems.length > 0 && first.problems[0].reason.includes("is gone"));
    assert.equal(names(to).length, 2 - first.problems.length);
    bucket.before = () => {};
    bucket.after = (_, got) => got.map((byte) => byte ^ 1);
    const second = await run();
    assert.equal(second.problems.length, first.problems.length);
    bucket.after = (_, got) => got;
    assert.deepEqual((await run()).problems, []);
    assert.deepEqual(names(to), ["a", "b"]);
  }));

Deno.test("bytes that have rotted in the cache come from the bucket", () =>
  scene(async ({ fixture, to, run }) => {
    const inode = fixture.write("file", data(3 * CHUNK, 1));
    await fixture.sync();
    fixture.content.closeAll();
    const path = [...walk(`${fixture.cache}/content`)].find((each) => each.includes(`/${inode}.`))!;
    const fd = libc.open(path, libc.O.WRONLY);
    libc.pwrite(fd, bytes("rot"), CHUNK + 5);
    libc.close(fd);
    assert.deepEqual((await run()).problems, []);
    assert.deepEqual(Deno.readFileSync(`${to}/file`), data(3 * CHUNK, 1));
  }));

Deno.test("with verify, content that differs under the same size and time is found", () =>
  scene(async ({ fixture, to, run }) => {
    fixture.write("file", data(2 * CHUNK, 1));
    await fixture.sync();
    fixture.write("dirty", bytes("never uploaded"));
    await run();
    for (const name of ["file", "dirty"]) {
      const { mtime } = libc.lstat(`${to}/${name}`) as libc.FileStatus;
      const fd = libc.open(`${to}/${name}`, libc.O.WRONLY);
      libc.pwrite(fd, bytes("x"), 3);
      libc.futimens(fd, { mtime });
      libc.close(fd);
    }
    assert.deepEqual((await run()).problems, []);
    const { problems } = await run({ verify: true });
    assert.deepEqual(problems.map(({ path }) => path), ["dirty", "file"]);
    assert.deepEqual((await run({ verify: true, force: true })).problems, []);
    assert.deepEqual(Deno.readFileSync(`${to}/file`), data(2 * CHUNK, 1));
  }));

Deno.test("a part of the tree, and a single file, are exported alone", () =>
  scene(async ({ fixture, to, run }) => {
    const directory = fixture.answered(fixture.kernel.mkdir(1, { name: "dir" })).inode;
    fixture.write("inside", bytes("deep"), directory);
    fixture.write("outside", bytes("no"));
    const part = await run({ names: [bytes("dir")] });
    assert.deepEqual([part.files, names(to)], [1, ["inside"]]);
    await run({ names: [bytes("outside")] });
    assert.deepEqual(names(to), ["inside", "outside"]);
    await assert.rejects(run({ names: [bytes("nowhere")] }), /there is no nowhere/);
  }));

function* walk(directory: string): Iterable<string> {
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    if (isDirectory) yield* walk(`${directory}/${name}`);
    else yield `${directory}/${name}`;
  }
}
