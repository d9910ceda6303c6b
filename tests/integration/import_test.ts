/** A directory is taken in whole, again and again, with everything that makes a file what it is. */
import assert from "node:assert/strict";
import { type ImportOptions, importTree } from "../../src/daemon/import_tree.ts";
import * as libc from "../../src/runtime/libc.ts";
import { tree } from "../harness/life_cycle.ts";
import { SeededRandom } from "../harness/seeded_random.ts";
import { scratch } from "../harness/recovery_fixture.ts";

const random = new SeededRandom(1);
const data = (length: number) => random.bytes(length);
const bytes = (value: string) => new TextEncoder().encode(value);

async function describe(root: string): Promise<string[]> {
  return (await tree(["describe", root, "content", "times"])).trim().split("\n");
}

function take(from: string, to: string, options: Partial<ImportOptions> = {}) {
  return importTree({
    from,
    to,
    force: false,
    signal: new AbortController().signal,
    pace: () => Promise.resolve(),
    progress: () => {},
    ...options,
  });
}

/** A small tree with a bit of everything. */
function makeTree(root: string): void {
  Deno.mkdirSync(`${root}/dir/deep`, { recursive: true });
  Deno.writeTextFileSync(`${root}/dir/file`, "content");
  Deno.linkSync(`${root}/dir/file`, `${root}/dir/deep/link`);
  libc.symlink(new Uint8Array([0x2e, 0xfe]), `${root}/symbolic`);
  libc.mknod(`${root}/fifo`, 0o010640, 0);
  Deno.writeFileSync(`${root}/large`, data(60_000));
  const odd = new Uint8Array([...bytes(`${root}/`), 0x61, 0xff, 0x0a]);
  libc.close(libc.open(odd, libc.O.WRONLY | libc.O.CREAT, 0o604));
  libc.lsetxattr(`${root}/dir/file`, "user.mark", bytes("red"));
  const fd = libc.open(`${root}/sparse`, libc.O.WRONLY | libc.O.CREAT, 0o600);
  libc.pwrite(fd, bytes("far"), 50_000_000);
  libc.ftruncate(fd, 80_000_000);
  libc.close(fd);
  libc.chmod(`${root}/dir`, 0o2750);
  for (const name of ["dir/file", "symbolic", "dir/deep", "dir"]) {
    libc.lutimens(`${root}/${name}`, {
      atime: { seconds: 5, nanoseconds: 6 },
      mtime: { seconds: -7, nanoseconds: 123456789 },
    });
  }
}

Deno.test("names, links, holes, times, owners and attributes are the same afterwards", async () => {
  const [from, to] = [scratch(), `${scratch()}/new`];
  makeTree(from);
  const report = await take(from, to);
  assert.deepEqual(report.problems, []);
  assert.equal(report.files, 4);
  assert.deepEqual(await describe(to), await describe(from));
  const { blocks, size } = libc.lstat(`${to}/sparse`) as libc.FileStatus;
  assert.equal(size, 80_000_000);
  assert(blocks * 512 < 1_000_000, `holes take ${blocks} blocks`);
  const again = await take(from, to);
  assert.deepEqual([again.files, again.unchanged, again.bytes], [0, 4, 0]);
  assert.deepEqual(await describe(to), await describe(from));
});

Deno.test("what is there and different stays and is listed; sockets are left out; force replaces", async () => {
  const [from, to] = [scratch(), scratch()];
  makeTree(from);
  libc.mknod(`${from}/socket`, 0o140600, 0);
  Deno.writeTextFileSync(`${to}/large`, "mine");
  Deno.symlinkSync(scratch(), `${to}/dir`);
  const { problems } = await take(from, to);
  assert.deepEqual(problems.map(({ path }) => path).sort(), ["dir", "large", "socket"]);
  assert.match(problems.find(({ path }) => path === "socket")!.reason, /a socket/);
  assert.equal(Deno.readTextFileSync(`${to}/large`), "mine");
  assert.deepEqual([...Deno.readDirSync(Deno.realPathSync(`${to}/dir`))], []);
  const forced = await take(from, to, { force: true });
  assert.deepEqual(forced.problems.map(({ path }) => path), ["socket"]);
  assert.deepEqual(Deno.readFileSync(`${to}/large`), Deno.readFileSync(`${from}/large`));
});

Deno.test("an interrupted import leaves no half file under its name, and goes on", async () => {
  const [from, to] = [scratch(), `${scratch()}/new`];
  for (const name of ["a", "b", "c"]) {
    Deno.writeFileSync(`${from}/${name}`, data(60_000));
  }
  const stop = new AbortController();
  let paces = 0;
  const pace = () => {
    if (++paces === 3) stop.abort(new Error("stopped"));
    return Promise.resolve();
  };
  await assert.rejects(take(from, to, { signal: stop.signal, pace }), /stopped/);
  const there = [...Deno.readDirSync(to)].map(({ name }) => name).filter((name) => name[0] !== ".");
  assert.equal(there.length, 2);
  const again = await take(from, to);
  assert.deepEqual([again.files, again.unchanged], [1, 2]);
  assert.deepEqual(await describe(to), await describe(from));
});

/** Stops an import when a file that is not complete has so many bytes. */
async function interrupted(from: string, to: string, afterBytes: number): Promise<void> {
  const stop = new AbortController();
  const pace = () => {
    const parts = [...Deno.readDirSync(`${to}/.zero-import`)]
      .filter(({ name }) => name.endsWith(".part"));
    const copied = parts.map(({ name }) => Deno.statSync(`${to}/.zero-import/${name}`).size);
    if (Math.max(0, ...copied) >= afterBytes) stop.abort(new Error("stopped"));
    return Promise.resolve();
  };
  await assert.rejects(take(from, to, { signal: stop.signal, pace, worthBytes: MIB }), /stopped/);
}

const MIB = 1024 ** 2;

Deno.test("an interrupted large file was copied anew from its beginning", async () => {
  const [from, to] = [scratch(), `${scratch()}/new`];
  const size = 200 * MIB + 12_345;
  const fd = libc.open(`${from}/large`, libc.O.WRONLY | libc.O.CREAT, 0o600);
  for (let at = 0; at < size; at += MIB) {
    // Every fourth is a hole.
    if (at / MIB % 4 !== 3) libc.pwrite(fd, data(Math.min(MIB, size - at)), at);
  }
  libc.ftruncate(fd, size);
  libc.close(fd);
  await interrupted(from, to, 64 * MIB);
  const rest = await take(from, to);
  assert.deepEqual([rest.files, rest.problems], [1, []]);
  assert(rest.bytes > 0 && rest.bytes < size * 3 / 4 - 60 * MIB, `${rest.bytes} were copied again`);
  assert.deepEqual(Deno.readFileSync(`${to}/large`), Deno.readFileSync(`${from}/large`));
  assert.deepEqual([...Deno.readDirSync(to)].map(({ name }) => name), ["large"]);
});

Deno.test("of a file that changed since it was interrupted, or whose copy is shorter, all is copied", async () => {
  const change = (from: string) => {
    const { mtime } = libc.lstat(`${from}/large`) as libc.FileStatus;
    const fd = libc.open(`${from}/large`, libc.O.WRONLY);
    libc.pwrite(fd, bytes("other"), 5 * MIB);
    libc.close(fd);
    // Whoever hides the change.
    libc.lutimens(`${from}/large`, { mtime });
  };
  const shorten = (_: string, state: string) => {
    const [{ name }] = [...Deno.readDirSync(state)].filter(({ name }) => name.endsWith(".part"));
    Deno.truncateSync(`${state}/${name}`, 3 * MIB);
  };
  for (const harm of [change, shorten]) {
    const [from, to] = [scratch(), `${scratch()}/new`];
    Deno.writeFileSync(`${from}/large`, data(100 * MIB));
    await interrupted(from, to, 64 * MIB);
    harm(from, `${to}/.zero-import`);
    const rest = await take(from, to);
    assert.deepEqual([rest.files, rest.bytes, rest.problems], [1, 100 * MIB, []]);
    assert.deepEqual(Deno.readFileSync(`${to}/large`), Deno.readFileSync(`${from}/large`));
  }
});

Deno.test("where there is no space for a while, it waits and goes on", async () => {
  const [from, to] = [scratch(), `${scratch()}/small`];
  Deno.mkdirSync(to);
  const mounted = libc.mount(to, { source: "none", type: "tmpfs", flags: 0, data: "size=400k" });
  if (mounted < 0) return; // only root can make a disk that is full
  try {
    Deno.writeFileSync(`${to}/filler`, new Uint8Array(300_000));
    Deno.writeFileSync(`${from}/file`, data(200_000));
    let waited = 0;
    const pace = ({ full }: { full: boolean }) => {
      if (full && ++waited === 2) Deno.removeSync(`${to}/filler`);
      return Promise.resolve();
    };
    const report = await take(from, to, { pace });
    assert.deepEqual([report.files, report.problems], [1, []]);
    assert(waited >= 2);
    assert.deepEqual(Deno.readFileSync(`${to}/file`), Deno.readFileSync(`${from}/file`));
  } finally {
    libc.umount2(to, libc.UMOUNT.DETACH);
  }
});
