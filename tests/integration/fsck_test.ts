/** fsck finds whatever is broken by hand, one thing a test, and repairs what is safe to repair. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { verifyLocal } from "../../src/tiering/fsck_local.ts";
import type { FsckReport } from "../../src/tiering/fsck_report.ts";
import { CareFixture, CHUNK } from "../harness/care_fixture.ts";
import { checkCache, type FsckCheckOptions } from "../harness/fsck_check.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

interface Cache {
  zero: CareFixture;
  /** Inodes: resident, evicted, and one with several names in a directory. */
  resident: number;
  evicted: number;
  directory: number;
  contents: { resident: Uint8Array; evicted: Uint8Array };
}

async function withCache(test: (cache: Cache) => Promise<void>): Promise<void> {
  await using zero = new CareFixture();
  const random = new SeededRandom(5);
  const contents = { resident: random.bytes(3 * CHUNK + 5), evicted: random.bytes(2 * CHUNK) };
  const directory = zero.answered(zero.kernel.mkdir(1, { name: "directory" })).inode;
  const resident = zero.write("resident", contents.resident);
  const evicted = zero.write("evicted", contents.evicted, directory);
  zero.write("gone", random.bytes(CHUNK));
  await zero.sync();
  await zero.evict([evicted]);
  zero.unlink("gone");
  zero.write("dirty", random.bytes(100));
  await zero.stop();
  await test({ zero, directory, resident, evicted, contents });
}

const check = ({ zero }: Cache, options?: FsckCheckOptions) => checkCache(zero, options);

/** Changes rows behind Zero's back: no checks, no triggers. */
function tamper(cache: Cache, ...statements: string[]): void {
  const database = MetadataDatabase.open({ directory: cache.zero.cache });
  const triggers = database.statement(
    "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'",
  ).all() as { name: string; sql: string }[];
  for (const { name } of triggers) database.statement(`DROP TRIGGER ${name}`).run();
  database.statement("PRAGMA ignore_check_constraints = ON").run();
  for (const sql of statements) database.statement(sql).run();
  for (const { sql } of triggers) database.statement(sql).run();
  database.close({ clean: true });
}

function problemsOf(report: FsckReport): string[] {
  return report.checks.filter((entry) => entry.result === "problems").map(({ name }) => name);
}

function contentPath({ zero }: Cache): string {
  const folder = `${zero.cache}/content/00/00`;
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  return `${folder}/${names.sort()[0]}`;
}

Deno.test("a cache that is well has no problem, and nothing is skipped", async () => {
  await withCache(async (cache) => {
    const report = await check(cache, { deep: true });
    assert.deepEqual(report.findings, []);
    assert.equal(report.problems, 0);
    // None of its metadata has been sent to the bucket: fsck_metadata_test.ts.
    const others = report.checks.filter(({ name }) => name !== "metadata");
    assert.ok(others.every(({ result }) => result === "ok"));
    assert.ok(report.deep!.chunks >= 5);
    assert.equal(report.counts.contentFiles, 2);
  });
});

/** What is broken → which checks must say so, and whether a repair makes it right. */
const BREAKAGES: {
  title: string;
  sql: (cache: Cache) => string[];
  found: string[];
  repaired: boolean;
}[] = [
  {
    title: "a link count that is not the number of names",
    sql: ({ resident }) => [`UPDATE inode SET nlink = 3 WHERE id = ${resident}`],
    found: ["links"],
    repaired: true,
  },
  {
    title: "a directory whose link count is wrong",
    sql: () => ["UPDATE inode SET nlink = 9 WHERE id = 1"],
    found: ["links"],
    repaired: true,
  },
  {
    title: "an inode without a name that nobody will delete",
    sql: ({ resident }) => [
      `DELETE FROM dentry WHERE inode = ${resident}`,
      `UPDATE inode SET nlink = 0 WHERE id = ${resident}`,
    ],
    found: ["orphans"],
    repaired: true,
  },
  {
    title: "a file with a name that waits for its deletion",
    sql: ({ resident }) => [`INSERT INTO orphan VALUES (${resident})`],
    found: ["orphans"],
    repaired: true,
  },
  {
    title: "directories that contain each other",
    sql: ({ directory }) => [`UPDATE dentry SET parent = ${directory} WHERE inode = ${directory}`],
    found: ["links", "reachable"],
    repaired: false,
  },
  {
    title: "a directory with two names",
    sql: ({ directory }) => [
      `INSERT INTO dentry (parent, name, inode) VALUES (1, x'61', ${directory})`,
      "UPDATE inode SET nlink = 4 WHERE id = 1",
    ],
    found: ["directories"],
    repaired: false,
  },
  {
    title: "a pack whose object has another length than was stored",
    sql: () => ["UPDATE pack SET bytes = bytes + 1 WHERE live_chunks > 0"],
    found: ["bucket"],
    repaired: false,
  },
  {
    title: "a name that leads to no inode",
    sql: () => ["INSERT INTO dentry (parent, name, inode) VALUES (1, x'61', 99999)"],
    found: ["database"],
    repaired: false,
  },
  {
    title: "sums of an inode that its chunks do not make",
    sql: ({ resident }) => [`UPDATE inode SET resident = resident - 4096 WHERE id = ${resident}`],
    found: ["sums", "totals"],
    repaired: true,
  },
  {
    title: "totals that the inodes do not make",
    sql: () => ["UPDATE total SET files = 77, local = 8192"],
    found: ["totals"],
    repaired: true,
  },
  {
    title: "a chunk that is referred to more often than it says",
    sql: ({ evicted }) => [
      `UPDATE chunk SET refs = 1 WHERE id IN (SELECT chunk FROM map WHERE inode = ${evicted})`,
    ],
    found: ["references"],
    repaired: true,
  },
  {
    title: "a chunk that claims references it does not have",
    sql: ({ evicted }) => [
      `UPDATE chunk SET refs = 0 WHERE id IN (SELECT chunk FROM map WHERE inode = ${evicted})`,
      "UPDATE pack SET live_chunks = 0, live_bytes = 0, dead_at = 1, condemned = 1",
    ],
    found: ["references", "packs"],
    repaired: true,
  },
  {
    title: "a pack that counts its chunks wrongly",
    sql: () => ["UPDATE pack SET live_chunks = live_chunks + 3, live_bytes = 1"],
    found: ["packs"],
    repaired: true,
  },
  {
    title: "an evicted chunk in a pack that was never looked up",
    sql: () => ["UPDATE pack SET verified = 0"],
    found: ["evicted"],
    repaired: false,
  },
  {
    title: "an evicted chunk that the bucket lost",
    sql: ({ evicted }) => [
      `UPDATE chunk SET lost = 1 WHERE id IN (SELECT chunk FROM map WHERE inode = ${evicted})`,
    ],
    found: ["evicted", "versions"],
    repaired: false,
  },
  {
    title: "a chunk beyond the end of its file",
    sql: ({ resident }) => [
      `UPDATE inode SET size = 10 WHERE id = ${resident}`,
      `UPDATE version SET size = 10 WHERE inode = ${resident}`,
    ],
    found: ["chunks"],
    repaired: false,
  },
  {
    title: "a clean file that was saved with another size",
    sql: ({ resident }) => [`UPDATE version SET size = size + 1 WHERE inode = ${resident}`],
    found: ["clean"],
    repaired: true,
  },
  {
    title: "a clean file of which nothing is saved",
    sql: ({ resident }) => [`UPDATE version SET kind = 3 WHERE inode = ${resident}`],
    found: ["clean"],
    repaired: true,
  },
  {
    title: "a version whose chunk does not exist",
    sql: ({ resident }) => [
      `UPDATE version_chunk SET chunk = 99999 WHERE idx = 0 AND version =
        (SELECT id FROM version WHERE inode = ${resident})`,
    ],
    found: ["clean", "versions", "references", "database"],
    repaired: false,
  },
];

for (const { title, sql, found, repaired } of BREAKAGES) {
  Deno.test(`fsck finds ${title}${repaired ? ", and repairs it" : ""}`, async () => {
    await withCache(async (cache) => {
      tamper(cache, ...sql(cache));
      assert.deepEqual(problemsOf(await check(cache)).sort(), [...found].sort());
      const report = await check(cache, { repair: true });
      const again = await check(cache);
      if (!repaired) return assert.notEqual(again.problems, 0, "it is not passed over");
      assert.equal(report.left, 0, JSON.stringify(report.notices));
      assert.deepEqual(again.findings, []);
    });
  });
}

Deno.test("fsck finds bytes that are gone, and lets them come from the bucket", async () => {
  await withCache(async (cache) => {
    Deno.truncateSync(contentPath(cache), CHUNK + 100);
    const report = await check(cache);
    assert.deepEqual(problemsOf(report), ["content"]);
    assert.equal(report.findings[0].path, "/resident");
    const repaired = await check(cache, { repair: true });
    assert.equal(repaired.left, 0, JSON.stringify(repaired));
    assert.match(repaired.repaired.join(), /3 chunks will be recalled/);
  });
});

Deno.test("fsck finds a content file that no row names, and removes it", async () => {
  await withCache(async (cache) => {
    const path = `${cache.zero.cache}/content/00/00/4000.7`;
    Deno.writeTextFileSync(path, "left over");
    const report = await check(cache);
    assert.deepEqual(problemsOf(report), ["garbage"]);
    assert.equal((await check(cache, { repair: true })).left, 0);
    assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
  });
});

/** The key of the pack that holds the evicted file. */
function packOf({ zero, evicted }: Cache): string {
  const database = MetadataDatabase.open({ directory: zero.cache, readOnly: true });
  const { name } = database.statement(
    `SELECT lower(hex(p.name)) AS name FROM map m JOIN chunk c ON c.id = m.chunk
     JOIN pack p ON p.id = c.pack WHERE m.inode = ?`,
  ).get(evicted) as { name: string };
  database.close({ clean: false });
  return `packs/${name.slice(0, 2)}/${name}`;
}

Deno.test("fsck finds a pack that is gone, and counts what no row names", async () => {
  await withCache(async (cache) => {
    const { bucket } = cache.zero;
    await bucket.put(`packs/ab/ab${"0".repeat(30)}`, new Uint8Array(9));
    const key = packOf(cache);
    bucket.hide(key);
    const hidden = await check(cache);
    assert.equal(hidden.problems, 0);
    assert.match(hidden.notices.join(), /2 objects \(9 B\) that no row names/);
    for await (const { versionId } of bucket.listVersions(key)) await bucket.delete(key, versionId);
    const gone = await check(cache, { repair: true });
    assert.deepEqual(problemsOf(gone), ["bucket"]);
    assert.match(gone.findings[0].what, /is not in the bucket, and \d chunks need it/);
    assert.equal(gone.left, 1, "that cannot be repaired, and nothing was forgotten");
  });
});

Deno.test("fsck --deep reads every chunk back, and says which are damaged", async () => {
  await withCache(async (cache) => {
    const { bucket } = cache.zero;
    const key = packOf(cache);
    const { versionId } = await bucket.head(key);
    const get = bucket.get.bind(bucket);
    bucket.get = async (asked, options) => {
      const bytes = await get(asked, options);
      // Wherever the object is read from, its byte 100 is wrong.
      const at = 100 - (options?.range?.offset ?? 0);
      if (asked === key && at >= 0 && at < bytes.length) bytes[at] ^= 1;
      return bytes;
    };
    const damaged: number[] = [];
    const report = await check(cache, { deep: true, onDamage: (ids) => damaged.push(...ids) });
    assert.deepEqual(problemsOf(report), ["deep"]);
    assert.equal(damaged.length, 1);
    assert.equal((await bucket.head(key, { versionId })).key, key, "nothing was deleted");
    // A download that was damaged on its way is no damage.
    let first = true;
    bucket.get = async (asked, options) => {
      const bytes = await get(asked, options);
      if (asked === key && first) bytes[100] ^= 1;
      if (asked === key) first = false;
      return bytes;
    };
    assert.equal((await check(cache, { deep: true })).problems, 0);
  });
});

/** Changes a byte of what is here of a file, as a disk that rots does. */
function rot(path: string, offset: number): void {
  using file = Deno.openSync(path, { read: true, write: true });
  const byte = new Uint8Array(1);
  file.seekSync(offset, Deno.SeekMode.Start);
  file.readSync(byte);
  byte[0] ^= 1;
  file.seekSync(offset, Deno.SeekMode.Start);
  file.writeSync(byte);
}

Deno.test("fsck --deep finds local bytes that are not what was saved, and leaves both as they are", async () => {
  await withCache(async (cache) => {
    rot(contentPath(cache), CHUNK + 7);
    const seen = Deno.readFileSync(contentPath(cache));
    const report = await check(cache, { deep: true, repair: true });
    assert.deepEqual(problemsOf(report), ["local"]);
    assert.deepEqual(report.findings.map(({ path, what }) => `${path} ${what}`), [
      "/resident chunk 1: its bytes here are not those that the bucket has",
    ]);
    assert.equal(report.left, 1);
    const { bytes: _, ...counts } = report.local!;
    assert.deepEqual(counts, { files: 2, chunks: 4, wrong: 1 }, "what is not saved has no id");
    assert.deepEqual(Deno.readFileSync(contentPath(cache)), seen);
    rot(contentPath(cache), CHUNK + 7);
    assert.equal((await check(cache, { deep: true })).problems, 0);
  });
});

Deno.test("local bytes that a program is changing are not called wrong", async () => {
  await withCache(async (cache) => {
    const database = MetadataDatabase.open({ directory: cache.zero.cache });
    const written = () =>
      database.statement("UPDATE map SET chunk = NULL WHERE inode = ? AND idx = 2").run(
        cache.resident,
      );
    const wrong: string[] = [];
    const look = (meanwhile: () => void) =>
      verifyLocal({
        cache: cache.zero.cache,
        database,
        secrets: undefined,
        // The row is written after the bytes, and before they are looked at again.
        clock: {
          ...systemClock,
          after: (_, action) => systemClock.after(0, () => (meanwhile(), action())),
        },
        share: 1,
        pick: () => 0,
        bytesPerSecond: undefined,
        askAgainMs: 1_000,
        onWrong: (_, what) => wrong.push(what),
        signal: new AbortController().signal,
      });
    rot(contentPath(cache), 2 * CHUNK);
    assert.equal((await look(() => {})).wrong, 1);
    assert.equal((await look(written)).wrong, 0);
    assert.deepEqual(wrong.length, 1);
    database.close({ clean: true });
  });
});

Deno.test("local bytes that cannot be read were passed over as if they were right", async () => {
  await withCache(async (cache) => {
    const path = contentPath(cache);
    Deno.renameSync(path, `${path}.elsewhere`);
    Deno.symlinkSync(`${path}.elsewhere`, path);
    const report = await check(cache, { deep: true });
    const told = report.findings.filter((each) => each.check === "local");
    assert.deepEqual(
      told.map(({ path, what }) => `${path} ${what}`),
      [0, 1, 2, 3].map((index) => `/resident chunk ${index}: it cannot be read: ELOOP`),
    );
    assert.equal(report.local!.wrong, 4);
  });
});

Deno.test("what is repaired can be mounted, and reads as before", async () => {
  await withCache(async (cache) => {
    tamper(cache, "UPDATE chunk SET refs = 5", "UPDATE pack SET live_chunks = 1");
    assert.equal((await check(cache, { repair: true })).left, 0);
    const database = MetadataDatabase.open({ directory: cache.zero.cache });
    const rows = database.statement("SELECT refs FROM chunk WHERE refs = 5").all();
    database.close({ clean: true });
    assert.deepEqual(rows, []);
    assert.ok(Buffer.from(Deno.readFileSync(contentPath(cache))).equals(cache.contents.resident));
  });
});
