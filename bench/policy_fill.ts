/**
 * Fills the databases of a cache as a year of use would leave them (by policies/laptop.yaml,
 * of which the sixth rule decides for all), for bench/policy.ts: in bulk,
 * without triggers and indexes (which are put back at the end) and without a journal.
 */
import { DatabaseSync } from "node:sqlite";
import { GiB, KiB, MiB } from "../src/domain/units.ts";
import { historyPath, metadataPath } from "../src/metadata/connection.ts";
import { MetadataDatabase } from "../src/metadata/database.ts";
import { UsageClass } from "../src/metadata/schema.ts";
import { systemClock } from "../src/runtime/clock.ts";

export const CHUNK = 4 * MiB;
export const FILE_BYTES = 256 * KiB;
const PER_DIRECTORY = 1_000;
const DAY = 86_400_000;

export interface Filling {
  directory: string;
  files: number;
  /** Of those, spread over all directories. */
  resident: number;
  now: number;
}

/** Makes both databases. Whoever opens them next finds a cache that was unmounted in order. */
export function fillDatabases({ directory, files, resident, now }: Filling): void {
  MetadataDatabase.create({
    directory,
    fileSystemId: "bench",
    chunkSize: CHUNK,
    store: "file:///nowhere",
    clock: systemClock,
  }).close({ clean: true });
  const directories = Math.ceil(files / PER_DIRECTORY);
  const first = 2 + directories;
  const every = Math.floor(files / resident);
  const inode = `mode, uid, gid, nlink, size, allocated, resident, atime_s, atime_ns, mtime_s,
    mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns, changed_ms`;
  const times = `1700000000, 0, 1700000000, 0, 1700000000, 0, 1700000000, 0, 1700000000000`;
  bulk(metadataPath(directory), [
    `${series(directories)} INSERT INTO inode (id, ${inode})
     SELECT 2 + i, 16877, 0, 0, 2, 4096, 0, 0, ${times} FROM n`,
    `${series(directories)} INSERT INTO dentry (parent, name, inode)
     SELECT 1, CAST('directory ' || i AS BLOB), 2 + i FROM n`,
    `${series(files)} INSERT INTO inode (id, ${inode})
     SELECT ${first} + i, 33188, 1000, 1000, 1, ${FILE_BYTES}, ${FILE_BYTES},
       iif(i % ${every} = 0, ${FILE_BYTES}, 0), ${times} FROM n`,
    `${series(files)} INSERT INTO dentry (parent, name, inode)
     SELECT 2 + i / ${PER_DIRECTORY}, CAST('picture ' || i || '.jpg' AS BLOB), ${first} + i FROM n`,
    `${series(Math.ceil(resident / 64))} INSERT INTO pack
       (id, name, version_id, bytes, verified, created_ms)
     SELECT 1 + i, randomblob(16), 'v', 16777216, 1, 0 FROM n`,
    `${
      series(resident)
    } INSERT INTO chunk (id, hash, pack, ordinal, offset, stored, length, codec, refs)
     SELECT 1 + i, randomblob(32), 1 + i / 64, i % 64, 0, 1, ${FILE_BYTES}, 0, 1 FROM n`,
    // As the triggers would have left it.
    `UPDATE total SET files = ${files + directories + 1}, allocated = ${files * FILE_BYTES},
       resident = ${resident * FILE_BYTES}`,
    `${series(resident)} INSERT INTO map (inode, idx, chunk, length, resident, generation)
     SELECT ${first} + i * ${every}, 0, 1 + i, ${FILE_BYTES}, 1, 1 FROM n`,
  ]);
  bulk(historyPath(directory), [
    `${series(files)} INSERT INTO usage
       (inode, last_used_ms, heat, heat_at_ms, uses, since_ms, resident, class, rank, bytes, settled)
     SELECT ${first} + i, ${now - 31 * DAY} - abs(random()) % ${300 * DAY}, 1, 1700000000000, x'',
       0, i % ${every} = 0, ${UsageClass.RANKED}, (abs(random()) % 1000000000) / 1000.0,
       ${FILE_BYTES}, 6 FROM n`,
    `UPDATE tally SET files = ${resident}, bytes = ${resident * FILE_BYTES}
     WHERE class = ${UsageClass.RANKED}`,
  ]);
}

const series = (count: number) =>
  `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})`;

function bulk(path: string, statements: readonly string[]): void {
  const connection = new DatabaseSync(path, { enableForeignKeyConstraints: false });
  connection.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
  connection.exec(`PRAGMA cache_size = -${GiB / KiB}; PRAGMA temp_store = FILE`);
  const later = connection.prepare(
    "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL",
  ).all() as { type: string; name: string; sql: string }[];
  for (const { type, name } of later) connection.exec(`DROP ${type} ${name}`);
  for (const sql of [...statements, ...later.map((each) => each.sql)]) connection.exec(sql);
  connection.exec("PRAGMA journal_mode = WAL");
  connection.close();
}
