/**
 * What policies cost at scale: choosing 100,000 files to evict out of 1,000,000 resident ones among
 * 10,000,000, from the real database; and answers about every file, as `check` gives them.
 *
 *   deno run -A bench/policy.ts [--files N] [--resident N] [--evict N]
 *
 * The database is made in a temporary directory and removed afterwards (10,000,000 files: some 4 GB).
 */
import process from "node:process";
import { GiB, KiB, MiB } from "../src/domain/units.ts";
import { MetadataDatabase } from "../src/metadata/database.ts";
import { FactsTable } from "../src/metadata/facts_table.ts";
import { UsageClass } from "../src/metadata/schema.ts";
import type { QueuePlace } from "../src/metadata/usage_table.ts";
import type { FileFacts } from "../src/policy/facts.ts";
import { loadPolicy } from "../src/policy/load.ts";
import { Rules } from "../src/policy/outcome.ts";
import { plan } from "../src/policy/plan.ts";
import { Planner } from "../src/policy/planner.ts";
import { ENGINE_LIMITS } from "../src/tiering/settings.ts";
import { systemClock } from "../src/runtime/clock.ts";

function option(name: string, fallback: number): number {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(Deno.args[at + 1]);
}

const FILES = option("files", 10_000_000);
const RESIDENT = option("resident", Math.floor(FILES / 10));
const EVICT = option("evict", Math.floor(RESIDENT / 10));
const PER_DIRECTORY = 1_000;
const PAGE = ENGINE_LIMITS.CANDIDATE_PAGE_FILES;
const CHUNK = 4 * MiB;
const FILE_BYTES = 256 * KiB;
const DAY = 86_400_000;
const now = Date.now();

const file = new URL("../policies/laptop.yaml", import.meta.url).pathname;
const { policy } = loadPolicy(Deno.readTextFileSync(file), { file, now });
const rules = new Rules(policy!);

interface Row {
  what: string;
  bound: string;
  result: string;
}
const table: Row[] = [];
const seconds = (from: number) => (performance.now() - from) / 1000;
/** Of processors, since `from`: holds on a busy machine, too. */
const processors = (from: ReturnType<typeof process.cpuUsage>) => {
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1e6;
};

/** Fills a database as a year of use would leave it. Triggers are taken away: only reading is measured. */
function fill(database: MetadataDatabase): void {
  const names = database.statement(
    "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger' UNION ALL " +
      "SELECT name, tbl_name FROM history.sqlite_schema WHERE type = 'trigger'",
  ).all() as { name: string }[];
  for (const { name } of names) {
    const schema = name.startsWith("usage_") ? "history" : "main";
    database.statement(`DROP TRIGGER ${schema}.${name}`).run();
  }
  const directories = Math.ceil(FILES / PER_DIRECTORY);
  const series = (count: number) =>
    `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})`;
  const first = 2 + directories;
  const inode = `mode, uid, gid, nlink, size, allocated, resident, atime_s, atime_ns, mtime_s,
    mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns, changed_ms`;
  const times = `1700000000, 0, 1700000000, 0, 1700000000, 0, 1700000000, 0, 1700000000000`;
  const runs = [
    `${series(directories)} INSERT INTO inode (id, ${inode})
     SELECT 2 + i, 16877, 0, 0, 2, 4096, 0, 0, ${times} FROM n`,
    `${series(directories)} INSERT INTO dentry (parent, name, inode)
     SELECT 1, CAST('directory ' || i AS BLOB), 2 + i FROM n`,
    // Every tenth file, say, is here; those are spread over all directories.
    `${series(FILES)} INSERT INTO inode (id, ${inode})
     SELECT ${first} + i, 33188, 1000, 1000, 1, ${FILE_BYTES}, ${FILE_BYTES},
       iif(i % ${Math.floor(FILES / RESIDENT)} = 0, ${FILE_BYTES}, 0), ${times} FROM n`,
    `${series(FILES)} INSERT INTO dentry (parent, name, inode)
     SELECT 2 + i / ${PER_DIRECTORY}, CAST('picture ' || i || '.jpg' AS BLOB), ${first} + i FROM n`,
    `${
      series(Math.ceil(RESIDENT / 64))
    } INSERT INTO pack (id, name, version_id, bytes, verified, created_ms)
     SELECT 1 + i, randomblob(16), 'v', 16777216, 1, 0 FROM n`,
    `${
      series(RESIDENT)
    } INSERT INTO chunk (id, hash, pack, ordinal, offset, stored, length, codec, refs)
     SELECT 1 + i, randomblob(32), 1 + i / 64, i % 64, 0, 1, ${FILE_BYTES}, 0, 1 FROM n`,
    `${series(RESIDENT)} INSERT INTO map (inode, idx, chunk, length, resident, generation)
     SELECT ${first} + i * ${Math.floor(FILES / RESIDENT)}, 0, 1 + i, ${FILE_BYTES}, 1, 1 FROM n`,
    `${series(FILES)} INSERT INTO history.usage
       (inode, last_used_ms, heat, heat_at_ms, uses, since_ms, resident, class, rank, bytes)
     SELECT ${first} + i, ${now} - ${31 * DAY} - abs(random()) % ${
      300 * DAY
    }, 1, 1700000000000, x'', 0,
       i % ${Math.floor(FILES / RESIDENT)} = 0, ${UsageClass.RANKED},
       (abs(random()) % 1000000000) / 1000.0, ${FILE_BYTES} FROM n`,
  ];
  for (const sql of runs) database.transaction(() => void database.statement(sql).run());
  // As the daemon would have done by and by: all that is read has to be looked for in the log otherwise.
  database.checkpoint("truncate");
}

/** The first so many files of the queue, judged with their facts, as the engine does it. */
async function choose(database: MetadataDatabase): Promise<void> {
  const facts = new FactsTable(database);
  let longest = 0;
  function* ranked(): Generator<FileFacts> {
    for (let after: QueuePlace | undefined, more = true; more;) {
      const from = performance.now();
      const page = facts.queue(UsageClass.RANKED, { limit: PAGE, after, needs: rules.needs });
      longest = Math.max(longest, performance.now() - from);
      yield* page.facts;
      after = page.next;
      more = after !== undefined;
    }
  }
  for (const round of ["cold cache", "warm cache"]) {
    const from = performance.now();
    const cpu = process.cpuUsage();
    const planner = new Planner({
      rules: new Rules({
        ...policy!,
        evict: { ...policy!.evict, maxPerRun: Infinity, breaker: { files: 1, errors: 1 } },
      }),
      now: () => now,
      chunkSize: CHUNK,
      toFree: EVICT * FILE_BYTES,
      urgent: false,
      residentFiles: RESIDENT,
    });
    let chosen = 0;
    let firstMs = 0;
    for await (const _ of planner.next({ first: [], ranked: ranked(), held: [] })) {
      if (chosen++ === 0) firstMs = performance.now() - from;
    }
    if (chosen !== EVICT) throw new Error(`${chosen} files were chosen instead of ${EVICT}`);
    const took = seconds(from);
    table.push({
      what:
        `choose ${chosen} of ${RESIDENT} resident, among ${FILES}, as the engine does (${round})`,
      bound: "1 s",
      result:
        `${took.toFixed(2)} s, ${processors(cpu).toFixed(2)} s of processors; the first after ${
          firstMs.toFixed(1)
        } ms; ` +
        `longest page ${longest.toFixed(1)} ms`,
    });
  }
}

/** Reads the facts of every file, as a preview does before it plans. */
function readAll(database: MetadataDatabase): void {
  const from = performance.now();
  const cpu = process.cpuUsage();
  let files = 0;
  for (const _ of new FactsTable(database).all(rules.needs)) files++;
  table.push({
    what: `facts of ${files} files from the database`,
    bound: "with the plan below: 3 s per million",
    result: `${(seconds(from) * 1e6 / files).toFixed(2)} s per million ` +
      `(${(processors(cpu) * 1e6 / files).toFixed(2)} s of processors)`,
  });
}

/** Files of many kinds, made on the way, so that only what the plan keeps is counted. */
function* library(count: number): Generator<FileFacts> {
  const folders = ["Work", "Photos/2024", "Video", "Docs/old", "src/x/node_modules/y", "Music"];
  const endings = ["jpg", "mov", "txt", "flac", "pdf"];
  for (let i = 0; i < count; i++) {
    const random = Math.imul(i + 1, 2654435761) >>> 0;
    const size = 4096 * (1 + random % 5000);
    const lastUsedMs = now - (random % 400) * DAY;
    yield {
      inode: i + 1,
      paths: [`/${folders[i % 6]}/d${i >> 8}/file ${i}.${endings[i % 5]}`],
      size,
      allocated: size,
      resident: size,
      dirty: random % 50 === 0,
      dirtySinceMs: now - DAY,
      open: random % 999 === 0,
      confirmed: random % 77 !== 0,
      createdMs: now - 500 * DAY,
      residentSinceMs: now - 500 * DAY,
      lastUsedMs,
      changedMs: now - 450 * DAY,
      heat: 1 + random % 7,
      heatAtMs: lastUsedMs,
      uid: 1000,
      gid: 1000,
      links: 1,
    };
  }
}

/** `check` over every resident file, with all reasons. */
function answerAll(count: number): void {
  let resident = 0;
  for (const each of library(count)) resident += each.resident;
  const target = resident * 0.98;
  const marks = { target, high: target * 0.95, low: target * 0.85, hard: target, minFree: 0 };
  const before = Deno.memoryUsage();
  const cpu = process.cpuUsage();
  const from = performance.now();
  const made = plan({
    facts: library(count),
    usage: {
      marks,
      reserved: 0,
      leaving: 0,
      diskFree: 100 * GiB,
      running: false,
      needed: 0,
      chunkSize: CHUNK,
    },
    policy: rules,
    now,
  });
  const took = seconds(from);
  const { rss } = Deno.memoryUsage();
  // Only what the plan keeps, where the engine lets itself be told to collect.
  (globalThis as { gc?: () => void }).gc?.();
  const kept = Deno.memoryUsage().heapUsed - before.heapUsed;
  table.push({
    what: `plan with all reasons over ${count} resident files (${made.totals.evict.files} leave)`,
    bound: "3 s and 300 MiB per million",
    result: `${(took * 1e6 / count).toFixed(2)} s per million ` +
      `(${
        (processors(cpu) * 1e6 / count).toFixed(2)
      } s of processors, collecting garbage included); ` +
      `it keeps ${Math.round(kept / MiB)} MiB, process ${Math.round(rss / MiB)} MiB`,
  });
}

if (Deno.args.includes("--plan-only")) {
  answerAll(RESIDENT);
} else {
  const directory = await Deno.makeTempDir({ prefix: "zero-bench-policy-" });
  try {
    const database = MetadataDatabase.create({
      directory,
      fileSystemId: "bench",
      chunkSize: CHUNK,
      store: "file:///nowhere",
      clock: systemClock,
    });
    const from = performance.now();
    fill(database);
    console.log(`database of ${FILES} files made in ${seconds(from).toFixed(0)} s`);
    await choose(database);
    readAll(database);
    database.close({ clean: true });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  const child = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--v8-flags=--expose-gc",
      import.meta.filename!,
      "--plan-only",
      "--resident",
      `${RESIDENT}`,
    ],
    stdin: "null",
    stderr: "inherit",
  }).output();
  Deno.stdout.writeSync(child.stdout);
}
for (const { what, bound, result } of table) {
  console.log(`${what}\n    ${result}${bound === "" ? "" : `  (bound: ${bound})`}`);
}
