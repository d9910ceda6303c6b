/** Answers about whole trees are given on the same facts as answers about single files. */
import assert from "node:assert/strict";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { type FactsRow, FactsTable } from "../../src/metadata/facts_table.ts";
import { FactsWalk, type WalkNeeds } from "../../src/metadata/facts_walk.ts";
import { PIN_NAME, pinValue } from "../../src/metadata/pins.ts";
import { XattrTable } from "../../src/metadata/xattr_table.ts";
import { withDirectory } from "../harness/scratch_directory.ts";
import { SeededRandom } from "../harness/seeded_random.ts";
import { SimulatedClock } from "../harness/simulated_clock.ts";

const NAMES = ["plain", "ünï", "tab\there", "back\\x41slash", "ca.mov", "\u{1f600}"];
const ALL: WalkNeeds = {
  uses: true,
  xattrs: true,
  names: true,
  owners: true,
  age: true,
  modified: true,
  heat: true,
};

/** A tree of every kind of file: some here, some in part, dirty, pinned, with several names or no uses. */
function fill(database: MetadataDatabase, files: number): number[] {
  const random = new SeededRandom(11);
  const below = (bound: number) => random.below(bound);
  const columns = `id, mode, uid, gid, nlink, size, allocated, resident, local, dirty, pinned, kept,
    changed_ms, btime_s, btime_ns, atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns`;
  const insert = database.statement(
    `INSERT INTO inode (${columns})
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0)`,
  );
  const dentry = database.statement("INSERT INTO dentry (parent, name, inode) VALUES (?, ?, ?)");
  const usage = database.statement(
    `INSERT INTO history.usage (inode, last_used_ms, heat, heat_at_ms, uses, since_ms, resident)
     VALUES (?, ?, ?, ?, x'000000000000f03f', ?, 1)`,
  );
  const xattrs = new XattrTable(database);
  const encoder = new TextEncoder();
  const directories = [1];
  const ids: number[] = [];
  database.transaction(() => {
    for (let id = 2; id < 12; id++) {
      // One of them has lost its place: it is being removed.
      const parent = id === 11 ? 999_999 : directories[below(directories.length)];
      const pinned = Number(id % 4 === 0);
      insert.run(id, 0o40755, 0, 0, 2, 4096, 0, 0, 0, 0, pinned, 0, 0, 0, 0);
      dentry.run(parent, encoder.encode(`${NAMES[id % 6]} ${id}`), id);
      if (id === 8) xattrs.set(id, PIN_NAME, pinValue(5e12));
      directories.push(id);
    }
    for (let n = 0, id = 12; n < files; n++, id += 1 + below(3)) {
      const links = below(9) === 0 ? 2 : below(40) === 0 ? 0 : 1;
      const allocated = 4096 * below(5);
      const resident = [0, allocated, allocated, 4096 * below(allocated / 4096 + 1)][below(4)];
      const dirty = Number(below(8) === 0);
      const local = dirty === 1 ? resident : 0;
      const mode = below(20) === 0 ? 0o120777 : 0o100644;
      const pinned = Number(below(15) === 0);
      const kept = dirty * below(2);
      insert.run(
        ...[id, mode, below(3), below(3), links, allocated, allocated, resident, local, dirty],
        ...[pinned, kept, 1e12 + n, 1e9 + below(1e6), below(1e9)],
      );
      for (let name = 0; name < links; name++) {
        const bytes = below(10) === 0
          ? new Uint8Array([0x66, 0xff, 0x30 + name, ...encoder.encode(`${id}`)])
          : encoder.encode(`${NAMES[below(6)]}${id}${name}`);
        dentry.run(directories[below(directories.length)], bytes, id);
      }
      if (below(10) > 0) {
        usage.run(id, 1e12 + below(1e9), random.fraction() * 9, 1e12 - n, 1e11 + n);
      }
      if (below(6) === 0) xattrs.set(id, encoder.encode("user.keep"), encoder.encode("yes"));
      ids.push(id);
    }
  });
  return ids;
}

/** What the table says of each file, as the walk promises it. */
function plainly(table: FactsTable, ids: readonly number[]): FactsRow[] {
  return ids.map((id) => table.get(id, ALL)).filter((row): row is FactsRow => row !== undefined);
}

const HERE = ["inode", "paths", "size", "resident", "dirty", "confirmed", "pin", "lastUsedMs"];
const LATER = ["residentSinceMs", "heat", "heatAtMs", "links"];
const RULES = ["inode", "paths", "size", "lastUsedMs", "heat", "heatAtMs", "links"];
const ASKED = ["changedMs", "createdMs", "uid", "gid", "uses", "xattrs"];

/** Some of what is known of a file; of dirty ones also since when. */
const part = (row: FactsRow, keys: readonly string[]) =>
  structuredClone(
    Object.fromEntries(keys.map((key) => [key, (row as unknown as Record<string, unknown>)[key]])),
  );

Deno.test(
  "a walk over a tree gives the facts that each file has by itself, whatever kind of file it is",
  withDirectory((directory) => {
    const options = { directory, fileSystemId: "0123", chunkSize: 4096, store: "file:///bucket" };
    const database = MetadataDatabase.create({ ...options, clock: new SimulatedClock() });
    // More than two pages.
    const ids = fill(database, 4_500);
    const table = new FactsTable(database);
    const walk = new FactsWalk(database, table);
    const whole = plainly(table, ids);
    const isHere = (row: FactsRow) => row.resident > 0 || row.dirty;
    for (const names of [true, false]) {
      for (const asked of [true, false]) {
        const [age, modified, owners, uses, xattrs, heat] = Array(6).fill(asked);
        const needs = { names, age, modified, owners, uses, xattrs, heat };
        const keys = (all: string[]) =>
          [...all, ...(asked ? ASKED : [])].filter((key) => names || key !== "paths")
            .filter((key) => asked || !key.startsWith("heat") || all !== RULES);
        const here = keys([...HERE, ...LATER]);
        assert.deepEqual(
          Array.from(walk.here(needs), (row) => part(row, here)),
          whole.filter(isHere).map((row) => part(row, here)),
        );
        const gone = keys(RULES);
        assert.deepEqual(
          Array.from(walk.gone(needs), (row) => part(row, gone)),
          whole.filter((row) => !isHere(row)).map((row) => part(row, gone)),
        );
      }
    }
    for (const row of walk.here(ALL)) assert.equal(row.allocated, row.resident);
    const { bytes } = database.statement("SELECT sum(allocated - resident) AS bytes FROM inode")
      .get() as { bytes: number };
    assert.equal(walk.absent.bytes, bytes);
    const sums = database.statement(
      "SELECT sum(resident = 0 AND dirty = 0) AS files " +
        "FROM inode WHERE mode & 61440 = 32768 AND nlink > 0",
    ).get() as { files: number };
    assert.equal(walk.absent.files, sums.files);
    database.close({ clean: true });
  }),
);
