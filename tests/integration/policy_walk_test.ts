/** Answers about whole trees are given on the same facts as answers about single files. */
import assert from "node:assert/strict";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { type FactsRow, FactsTable } from "../../src/metadata/facts_table.ts";
import { AbsentSearch } from "../../src/metadata/absent_search.ts";
import type { Visit, WalkNeeds } from "../../src/metadata/facts_columns.ts";
import { FactsWalk } from "../../src/metadata/facts_walk.ts";
import { withDirectory } from "../harness/scratch_directory.ts";
import { SimulatedClock } from "../harness/simulated_clock.ts";
import { fillTree } from "../harness/tree_of_every_kind.ts";

const ALL: WalkNeeds = {
  uses: true,
  xattrs: true,
  names: true,
  owners: true,
  age: true,
  modified: true,
  heat: true,
};

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

/** Some of what a walk tells of each file. */
function told(walk: (visit: Visit) => void, keys: readonly string[]) {
  const rows: ReturnType<typeof part>[] = [];
  walk((row) => rows.push(part(row, keys)));
  return rows;
}

Deno.test(
  "a walk over a tree gives the facts that each file has by itself, whatever kind of file it is",
  withDirectory((directory) => {
    const options = { directory, fileSystemId: "0123", chunkSize: 4096, store: "file:///bucket" };
    const database = MetadataDatabase.create({ ...options, clock: new SimulatedClock() });
    // More than two pages.
    const ids = fillTree(database, { files: 4_500, seed: 11 });
    const table = new FactsTable(database);
    const walk = new FactsWalk(database, table);
    const search = new AbsentSearch(database, table);
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
          told((visit) => walk.here(needs, visit), here),
          whole.filter(isHere).map((row) => part(row, here)),
        );
        const gone = keys(RULES);
        assert.deepEqual(
          told((visit) => search.files(needs, () => [{}], visit), gone),
          whole.filter((row) => !isHere(row)).map((row) => part(row, gone)),
        );
      }
    }
    walk.here(ALL, (row) => assert.equal(row.allocated, row.resident));
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
