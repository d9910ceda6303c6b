/**
 * Puts very many files into the database of a cache that is not mounted, as a year of use would leave
 * it: resident, confirmed in the bucket, told to it, not sorted yet. Their content is not there and is
 * never read by the benchmarks. In one directory, or in directories of so many names each.
 */
import { MetadataDatabase } from "../src/metadata/database.ts";

export interface Tree {
  /** Name of the directory below the root that holds everything. */
  name: string;
  files: number;
  perDirectory: number;
}

const series = (count: number) =>
  `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})`;

const INODE = `mode, uid, gid, nlink, size, allocated, resident, atime_s, atime_ns, mtime_s,
  mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns, changed_ms`;
const TIMES = "1700000000, 0, 1700000000, 0, 1700000000, 0, 1700000000, 0, 1700000000000";
/** Bytes of each file. */
const BYTES = 4096;
/** Files whose content lies in one pack. They fill it: of packs that are mostly garbage, a mount would copy the rest. */
const PER_PACK = 64;

export function fill(cache: string, trees: readonly Tree[]): void {
  const database = MetadataDatabase.open({ directory: cache });
  for (const tree of trees) addTree(database, tree);
  // The bucket is said to know all of it, or the first minutes would be spent on telling it.
  database.transaction(() => void database.statement("DELETE FROM changes").run());
  database.checkpoint("truncate");
  database.close({ clean: true });
}

function addTree(database: MetadataDatabase, { name, files, perDirectory }: Tree): void {
  const number = (sql: string) =>
    (database.arrayStatement(sql).get() as unknown as [number | null])[0] ?? 0;
  const run = (sql: string) => database.transaction(() => void database.statement(sql).run());
  const directories = Math.ceil(files / perDirectory);
  const top = number("SELECT max(id) FROM inode") + 1;
  const below = top + 1;
  const first = below + directories;
  const chunk = number("SELECT max(id) FROM chunk") + 1;
  const pack = number("SELECT max(id) FROM pack") + 1;
  run(`INSERT INTO inode (id, ${INODE})
       VALUES (${top}, 16877, 0, 0, ${2 + directories}, 4096, 0, 0, ${TIMES})`);
  run(`INSERT INTO dentry (parent, name, inode) VALUES (1, CAST('${name}' AS BLOB), ${top})`);
  run("UPDATE inode SET nlink = nlink + 1 WHERE id = 1");
  run(`${series(directories)} INSERT INTO inode (id, ${INODE})
       SELECT ${below} + i, 16877, 0, 0, 2, 4096, 0, 0, ${TIMES} FROM n`);
  run(`${series(directories)} INSERT INTO dentry (parent, name, inode)
       SELECT ${top}, CAST('d' || i AS BLOB), ${below} + i FROM n`);
  run(`${series(files)} INSERT INTO inode (id, ${INODE}, incarnation)
       SELECT ${first} + i, 33188, 0, 0, 1, ${BYTES}, ${BYTES}, ${BYTES}, ${TIMES}, 1 FROM n`);
  run(`${series(files)} INSERT INTO dentry (parent, name, inode)
       SELECT ${below} + i / ${perDirectory}, CAST('f' || i AS BLOB), ${first} + i FROM n`);
  run(`${series(Math.ceil(files / PER_PACK))}
       INSERT INTO pack (id, name, version_id, bytes, verified, created_ms)
       SELECT ${pack} + i, randomblob(16), 'v', ${PER_PACK * BYTES}, 1, 0 FROM n`);
  run(`${series(files)} INSERT INTO chunk (id, hash, pack, ordinal, offset, stored, length, codec)
       SELECT ${chunk} + i, randomblob(32), ${pack} + i / ${PER_PACK}, i % ${PER_PACK},
         i % ${PER_PACK} * ${BYTES}, ${BYTES}, ${BYTES}, 0 FROM n`);
  run(`${series(files)} INSERT INTO map (inode, idx, chunk, length, resident, generation)
       SELECT ${first} + i, 0, ${chunk} + i, ${BYTES}, 1, 1 FROM n`);
  run(`${series(files)} INSERT INTO version (inode, kind, generation, size, mode, uid, gid, mtime_s,
         mtime_ns, saved_ms)
       SELECT ${first} + i, 1, 0, ${BYTES}, 33188, 0, 0, 1700000000, 0, 1700000000000 FROM n`);
  run(`${series(files)} INSERT INTO history.usage
         (inode, last_used_ms, heat, heat_at_ms, uses, since_ms, resident)
       SELECT ${first} + i, 1700000000000 + abs(random()) % 3000000000, 1, 1700000000000, x'',
         1700000000000, 1 FROM n`);
}
