/** What was used when: batches, order, and the loss of history.db. */
import assert from "node:assert/strict";
import type { Inode } from "../../src/filesystem/inode.ts";
import { InodeCache } from "../../src/filesystem/inode_cache.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { UsageTable } from "../../src/metadata/usage_table.ts";
import { withDirectory } from "../harness/scratch_directory.ts";
import { SimulatedClock } from "../harness/simulated_clock.ts";

function create(directory: string) {
  const clock = new SimulatedClock();
  const database = MetadataDatabase.create({
    directory,
    fileSystemId: "0123",
    chunkSize: 4096,
    store: "file:///bucket",
    clock,
  });
  const inodes = new InodeCache(database, { limit: 64 });
  return {
    database,
    usage: new UsageTable(database),
    /** A file with resident content, last changed at `changedMs`. */
    file: (changedMs: number): Inode => {
      const time = { seconds: 0, nanoseconds: 0 };
      const inode = inodes.insert({ mode: 0o100644, uid: 0, gid: 0, nlink: 0, time });
      inode.allocated = inode.resident = 4096;
      inode.changedMs = changedMs;
      inodes.writeContent(inode);
      return inode;
    },
  };
}

const order = (usage: UsageTable, limit = 100) => usage.candidates({ limit }).map((c) => c.inode);

Deno.test(
  "uses are kept in memory until flushed, and only the last of each file counts",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    const [a, b] = [file(1).id, file(1).id];
    usage.record(a, 20);
    usage.record(a, 10);
    usage.record(b, 15.7);
    const stored = () => database.statement("SELECT count(*) AS n FROM history.usage").get()!.n;
    assert.equal(usage.unflushed, 2);
    assert.equal(stored(), 0);
    assert.equal(usage.lastUsed(a), 20);
    assert.equal(usage.flush(1), 1);
    assert.equal(stored(), 1);
    assert.equal(usage.flush(), 1);
    assert.equal(usage.flush(), 0);
    assert.equal(usage.lastUsed(b), 15);
    assert.equal(usage.lastUsed(999), undefined);
    assert.deepEqual(order(usage), [b, a]);
    database.close({ clean: true });
  }),
);

Deno.test(
  "candidates come least recently used first, in pages, and only while they are resident",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    const files = Array.from({ length: 10 }, () => file(1).id);
    files.forEach((inode, i) => usage.setResident(inode, true, 1000 - (i >> 1)));
    const all = usage.candidates({ limit: 100 });
    assert.deepEqual(all.map((c) => c.lastUsedMs), [
      996,
      996,
      997,
      997,
      998,
      998,
      999,
      999,
      1000,
      1000,
    ]);
    const pages = [];
    for (let after = undefined;;) {
      const page = usage.candidates({ limit: 3, after });
      if (page.length === 0) break;
      pages.push(...page);
      after = page[page.length - 1];
    }
    assert.deepEqual(pages, all);
    usage.setResident(files[9], false, 5000);
    usage.remove(files[8]);
    usage.record(files[8], 6000);
    usage.setResident(files[8], true, 6000);
    usage.record(files[7], 7000);
    assert.deepEqual(order(usage).includes(files[9]), false);
    assert.deepEqual(order(usage).includes(files[8]), false);
    assert.equal(order(usage).at(-1), files[7]);
    usage.setResident(files[9], true, 4000);
    // An eviction and a recall are no uses of their own that could make it older.
    assert.equal(usage.lastUsed(files[9]), 4000);
    usage.flush();
    assert.equal(usage.lastUsed(files[9]), 5000);
    database.close({ clean: true });
  }),
);

Deno.test(
  "a flush that fails keeps its news",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    usage.record(file(1).id, 5);
    assert.throws(() =>
      database.transaction(() => {
        throw new Error("no");
      })
    );
    database.statement("ALTER TABLE history.usage RENAME TO hidden").run();
    assert.throws(() => usage.flush());
    assert.equal(usage.unflushed, 1);
    database.statement("ALTER TABLE history.hidden RENAME TO usage").run();
    assert.equal(usage.flush(), 1);
    database.close({ clean: true });
  }),
);

for (const loss of ["removed", "damaged"]) {
  Deno.test(
    `history that was ${loss} is rebuilt slice by slice from what is resident`,
    withDirectory((directory) => {
      const { database, file } = create(directory);
      const files = Array.from({ length: 25 }, (_, i) => file(1000 - i).id);
      database.close({ clean: true });
      for (const name of Deno.readDirSync(directory)) {
        if (name.name.startsWith("history.db")) Deno.removeSync(`${directory}/${name.name}`);
      }
      if (loss === "damaged") {
        Deno.writeTextFileSync(`${directory}/history.db`, "no database\n".repeat(1000));
      }
      const again = MetadataDatabase.open({ directory });
      try {
        assert.equal(again.historyComplete, false);
        const usage = new UsageTable(again);
        assert.equal(usage.needsRefill, true);
        usage.record(files[24], 5000);
        assert.equal(usage.refill({ limit: 10 }), false);
        assert.equal(order(usage).length, 10);
        usage.flush();
      } finally {
        again.close({ clean: true });
      }
      // Cut short, it starts again with the next mount.
      const third = MetadataDatabase.open({ directory });
      try {
        assert.equal(third.historyComplete, false);
        const usage = new UsageTable(third);
        while (!usage.refill({ limit: 10 }));
        assert.equal(usage.needsRefill, false);
        assert.deepEqual(order(usage), [...files.slice(0, 24).reverse(), files[24]]);
      } finally {
        third.close({ clean: true });
      }
      const last = MetadataDatabase.open({ directory });
      assert.equal(last.historyComplete, true);
      last.close({ clean: true });
    }),
  );
}

Deno.test(
  "after an unclean end files whose news were lost become candidates again",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    const inode = file(7).id;
    usage.setResident(inode, true, 100);
    database.close({ clean: false });
    const again = MetadataDatabase.open({ directory });
    const rebuilt = new UsageTable(again);
    assert.deepEqual(order(rebuilt), []);
    while (!rebuilt.refill({ limit: 100 }));
    assert.deepEqual(order(rebuilt), [inode]);
    again.close({ clean: true });
  }),
);
