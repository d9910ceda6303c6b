/** Who goes through many cold files in directory order is recognized; who merely works is not. */
import assert from "node:assert/strict";
import type { Inode } from "../../../src/filesystem/inode.ts";
import { type ScannerReport, Scanners } from "../../../src/filesystem/scanners.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";

const DAY = 86_400_000;

/** A tree of cold files: `directories` with `perDirectory` each, whose names stand in another order than they came. */
function world({ directories, perDirectory }: { directories: number; perDirectory: number }) {
  let now = 100 * DAY;
  const used = new Map<number, number>();
  const changes: (ScannerReport & { scans: boolean })[] = [];
  /** Thread → process; a thread that is not here is a process of its own. */
  const groups = new Map<number, number>();
  /** When each process began. */
  const began = new Map<number, number>();
  const place = (inode: number) => ({
    parent: Math.floor(inode / perDirectory),
    id: inode + 10,
    name: new TextEncoder().encode(String(inode * 7919 % 100_003).padStart(6, "0")),
  });
  const scanners = new Scanners({
    identify: (tid) => {
      const pid = groups.get(tid) ?? tid;
      return { key: `${pid} ${began.get(pid) ?? 0}`, pid, program: `program${pid}` };
    },
    placeOf: place,
    lastUsed: (inode) => used.get(inode) ?? 0,
    wallMs: () => now,
    onChange: (report, scans) => changes.push({ ...report, scans }),
  });
  const files = Array.from({ length: directories * perDirectory }, (_, inode) => inode);
  const open = (tid: number, inode: number): boolean => {
    now += 10;
    const file = { id: inode, size: 100, allocated: 4096, resident: 4096 } as Inode;
    const scans = scanners.opens(tid, file) !== undefined;
    if (!scans) used.set(inode, now);
    return scans;
  };
  return {
    files,
    scanners,
    changes,
    groups,
    began,
    open,
    pass: (ms: number) => now += ms,
    byName: (inodes: number[]) =>
      inodes.toSorted((a, b) => {
        const [one, other] = [place(a), place(b)];
        if (one.parent !== other.parent) return one.parent - other.parent;
        return new TextDecoder().decode(one.name) < new TextDecoder().decode(other.name) ? -1 : 1;
      }),
  };
}

Deno.test("a program that reads a cold tree in the order of readdir is a scanner after a thousand files", () => {
  const { files, open, scanners, changes } = world({ directories: 40, perDirectory: 50 });
  const first = files.findIndex((inode) => open(7, inode));
  // The first file of each directory says nothing yet.
  assert.ok(first >= 1000 && first < 1050, `at file ${first}`);
  for (const inode of files.slice(first + 1)) assert.ok(open(7, inode));
  assert.deepEqual(changes.map(({ program, pid, scans }) => ({ program, pid, scans })), [
    { program: "program7", pid: 7, scans: true },
  ]);
  assert.equal(scanners.report()[0].files, files.length - first);
});

Deno.test("one that reads it sorted by name is, too, and so is one that comes back to a directory after those below it", () => {
  const sorted = world({ directories: 40, perDirectory: 50 });
  assert.ok(sorted.byName(sorted.files).some((inode) => sorted.open(7, inode)));
  const nested = world({ directories: 41, perDirectory: 50 });
  // One file of directory 0 after each of the others.
  const order = Array.from(
    { length: 40 },
    (_, n) => [...nested.files.slice((n + 1) * 50, (n + 2) * 50), n],
  );
  assert.ok(order.flat().some((inode) => nested.open(7, inode)));
});

Deno.test("threads of one process are counted together", () => {
  const { files, open, groups, changes } = world({ directories: 80, perDirectory: 50 });
  for (const tid of [101, 102, 103, 104]) groups.set(tid, 100);
  let found = false;
  for (let at = 0; at < 1000 && !found; at++) {
    for (let thread = 0; thread < 4; thread++) {
      found ||= open(101 + thread, files[thread * 1000 + at]);
    }
  }
  assert.ok(found);
  assert.equal(changes[0].pid, 100);
});

Deno.test("whoever works is no scanner: at random, again and again, on what is used, by short processes", () => {
  const random = new SeededRandom(1);
  const large = world({ directories: 1, perDirectory: 20_000 });
  for (let n = 0; n < 20_000; n++) large.open(7, random.below(20_000));
  // A store of objects in directories named by their hashes.
  const hashed = world({ directories: 256, perDirectory: 100 });
  for (let n = 0; n < 20_000; n++) hashed.open(7, random.below(25_600));
  // A build: the same cold tree once, then what it uses again and again, in order.
  const build = world({ directories: 10, perDirectory: 80 });
  for (let round = 0; round < 20; round++) for (const inode of build.files) build.open(7, inode);
  // `find -exec cat {} \;`: nobody knows who stands behind it.
  const short = world({ directories: 40, perDirectory: 50 });
  for (const inode of short.files) short.open(1000 + inode, inode);
  // A player that opens every file of an album three times.
  const album = world({ directories: 40, perDirectory: 20 });
  for (const inode of album.files) for (let times = 0; times < 3; times++) album.open(7, inode);
  for (const each of [large, hashed, build, short, album]) assert.deepEqual(each.changes, []);
});

Deno.test("a scanner that begins to work like others is treated like them again, and so is who has its number later", () => {
  const { files, open, changes, scanners } = world({ directories: 40, perDirectory: 100 });
  for (const inode of files.slice(0, 2000)) open(7, inode);
  assert.equal(scanners.report().length, 1);
  const random = new SeededRandom(2);
  for (let n = 0; n < 2000; n++) open(7, 2000 + random.below(2000));
  assert.deepEqual(changes.map(({ scans }) => scans), [true, false]);
  assert.equal(scanners.report().length, 0);

  const other = world({ directories: 40, perDirectory: 100 });
  for (const inode of other.files.slice(0, 1500)) other.open(7, inode);
  other.began.set(7, 1);
  assert.equal(other.scanners.report().length, 0);
  assert.equal(other.open(7, 3000), false);
  // Nor is it one for ever: after a pause it begins anew.
  const paused = world({ directories: 40, perDirectory: 100 });
  for (const inode of paused.files.slice(0, 1500)) paused.open(7, inode);
  paused.pass(3_600_000);
  assert.equal(paused.open(7, 1600), false);
});

Deno.test("what is known of processes is bounded", () => {
  const { open, scanners } = world({ directories: 1000, perDirectory: 100 });
  for (let tid = 1; tid < 5000; tid++) open(tid, tid * 17 % 100_000);
  assert.deepEqual(scanners.report(), []);
});
