/**
 * No statement that a mount runs walks through a table that grows with the files: the plan of each, as
 * SQLite makes it, goes through an index. Partial indexes hold a few rows; walking those is what they
 * are for.
 */
import assert from "node:assert/strict";
import { MetadataDatabase, type Statement } from "../../src/metadata/database.ts";
import { TrashTable } from "../../src/metadata/trash_table.ts";
import type { SortPlace } from "../../src/metadata/usage_table.ts";
import type { PolicyCommands } from "../../src/filesystem/policy_protocol.ts";
import { CHUNK, data, lawTest } from "../harness/law_test.ts";

const needs = { uses: true, xattrs: true };
/** A row of these per file, name, chunk or use. */
const GROWING =
  /^SCAN (i|inode|d|dentry|x|xattr|m|map|c|chunk|p|pack|v|version|version_chunk|u|usage|changes)\b/;
/** Partial indexes of what is always little. */
const LITTLE = /INDEX \w+_(dirty|kept|dead|pinned|unreferenced|unverified|lost|swept|wake)\b/;

interface Step {
  detail: string;
}

/** All SQL that `body` prepares. */
function sqlOf(body: () => void): Set<string> {
  const seen = new Set<string>();
  const prototype = MetadataDatabase.prototype;
  const { statement, arrayStatement } = prototype;
  const watch = (original: (sql: string) => Statement) =>
    function (this: MetadataDatabase, sql: string): Statement {
      seen.add(sql);
      return original.call(this, sql);
    };
  prototype.statement = watch(statement);
  prototype.arrayStatement = watch(arrayStatement);
  try {
    body();
  } finally {
    Object.assign(prototype, { statement, arrayStatement });
  }
  return seen;
}

lawTest(
  "no statement of a mount walks through all files, at its start, at work or after a crash",
  (first) => {
    let fixture = first;
    const seen = sqlOf(() => {
      fixture = first.crash("clean");
      const { kernel, engine } = fixture;
      const directory = kernel.mkdir(1, { name: "dir" }).value.inode;
      const inode = fixture.saved("a", data(1, CHUNK * 2));
      kernel.rename(1, { name: "a", newParent: directory, newName: "b" });
      kernel.link(1, { name: "c", target: inode });
      let after: SortPlace | undefined;
      do {
        const page: PolicyCommands["unsorted"][1] = engine.call("unsorted", {
          limit: 9,
          after,
          needs,
        });
        const sorted = { class: 2 as const, rank: 1, wakeMs: undefined };
        const files = page.facts.map((row) => ({ ...sorted, inode: row.inode, stamp: row.stamp }));
        engine.call("sort", { files });
        after = page.next;
      } while (after !== undefined);
      engine.call("queue", { queue: "ranked", limit: 9, facts: 9, needs, policy: "" });
      engine.call("facts", { inodes: [inode], needs });
      engine.call("openFacts", { needs });
      engine.call("tally", {});
      engine.call("statistics", {});
      engine.call("space", {});
      engine.call("dirtyFiles", {
        changedBefore: 1e15,
        limit: 9,
        after: { changedMs: 1, inode: 1 },
      });
      engine.call("trash", { after: 0, limit: 9 });
      new TrashTable(fixture.database).bytesOnlyThere();
      engine.call("unverifiedPacks", { inodes: [inode] });
      engine.call("pin", { inode: directory, pinned: true });
      engine.ask("reclassify", { policy: "another" }, () => {});
      fixture.work();
      kernel.unlink(1, "c");
      const dirty = fixture.create("dirty");
      fixture.write(dirty, 0, data(2, CHUNK));
      fixture.fsync(dirty);
      fixture = fixture.crash("kill");
      fixture.work();
    });
    assert.ok(seen.size > 60, `only ${seen.size} statements were seen`);
    const walks: string[] = [];
    for (const sql of seen) {
      if (!/^\s*(SELECT|UPDATE|DELETE|WITH|INSERT)/i.test(sql)) continue;
      const plan = fixture.database.statement(`EXPLAIN QUERY PLAN ${sql}`)
        .all() as unknown as Step[];
      for (const { detail } of plan) {
        if (!GROWING.test(detail) || LITTLE.test(detail)) continue;
        walks.push(`${detail}: ${sql.replaceAll(/\s+/g, " ")}`);
      }
    }
    assert.deepEqual(walks, []);
  },
);
