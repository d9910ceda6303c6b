/** What was used when: batches, order, and the loss of history.db. */
import assert from "node:assert/strict";
import type { Inode } from "../../src/filesystem/inode.ts";
import { InodeCache } from "../../src/filesystem/inode_cache.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { DentryTable } from "../../src/metadata/dentry_table.ts";
import { UsageClass } from "../../src/metadata/schema.ts";
import {
  type QueuePlace,
  type QueueRow,
  type SortPlace,
  unpackTimes,
  UsageTable,
} from "../../src/metadata/usage_table.ts";
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
      const inode = inodes.insert({ mode: 0o100644, uid: 0, gid: 0, nlink: 1, time });
      new DentryTable(database).insert(1, new TextEncoder().encode(`f${inode.id}`), inode.id);
      inode.allocated = inode.resident = 4096;
      inode.changedMs = changedMs;
      inodes.writeContent(inode);
      return inode;
    },
  };
}

/** Unsorted files: changed ones in the order of their numbers, then those whose time has come. */
function unsorted(
  usage: UsageTable,
  { now = 1e12, limit = 100, onPage = () => {} }: {
    now?: number;
    limit?: number;
    onPage?: (inodes: number[]) => void;
  } = {},
): number[] {
  const found: number[] = [];
  let place: SortPlace | undefined = usage.beginSorting(now);
  while (place !== undefined) {
    const page: ReturnType<UsageTable["unsorted"]> = usage.unsorted(place, { limit, flush: limit });
    found.push(...page.inodes);
    onPage(page.inodes);
    place = page.next;
  }
  return found;
}

/** Files that may leave, by rank. */
function orderOf(usage: UsageTable): number[] {
  usage.flush();
  return ranked(usage, { limit: 100 }).map((file) => file.inode);
}

function ranked(
  usage: UsageTable,
  { limit, after }: { limit: number; after?: QueuePlace },
): QueueRow[] {
  return usage.queue(UsageClass.RANKED, { limit, after, now: 0 });
}

/** Sorts all that is unsorted, by its last use. */
function sortAll(database: MetadataDatabase, usage: UsageTable): void {
  for (const inode of unsorted(usage, { now: 0 })) {
    const row = database.statement(
      "SELECT stamp, last_used_ms AS rank FROM history.usage WHERE inode = ?",
    )
      .get(inode) as { stamp: number; rank: number };
    usage.sort([{ inode, ...row, class: UsageClass.RANKED, wakeMs: undefined }]);
  }
}

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
    sortAll(database, usage);
    assert.deepEqual(orderOf(usage), [b, a]);
    database.close({ clean: true });
  }),
);

Deno.test(
  "the use of a file that went just before a crash is forgotten, and does not stay unsorted for ever",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    const [gone, stays] = [file(1).id, file(1).id];
    usage.record(gone, 20);
    usage.record(stays, 20);
    usage.flush();
    // The inode's removal is durable, the batch that would have removed its use is not.
    database.statement("DELETE FROM inode WHERE id = ?").run(gone);
    assert.deepEqual(unsorted(usage), [gone, stays]);
    usage.setResident(gone, false);
    assert.deepEqual(unsorted(usage), [stays]);
    assert.equal(usage.unflushed, 0);
    assert.equal(usage.lastUsed(gone), undefined);
    database.close({ clean: true });
  }),
);

Deno.test(
  "a walk over what is to be sorted ends although nothing of it is sorted and files go on changing",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    const files = Array.from({ length: 7 }, () => file(1).id);
    for (const inode of files) usage.record(inode, 20);
    let pages = 0;
    const found = unsorted(usage, {
      limit: 2,
      onPage: () => {
        pages++;
        assert.ok(pages < 20, "the walk goes on and on");
        // Each page brings more news than it writes down.
        for (const inode of files) usage.record(inode, 20 + pages);
        usage.record(file(1).id, 20);
        usage.flush(1);
      },
    });
    assert.deepEqual(found.slice(0, files.length), files);
    // All that came meanwhile is the next one's.
    assert.ok(unsorted(usage).length > files.length);
    database.close({ clean: true });
  }),
);

Deno.test(
  "a walk passes files that wake again at once",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    const files = Array.from({ length: 5 }, () => file(1).id);
    for (const inode of files) usage.record(inode, 20);
    const asleep = { class: UsageClass.HELD, rank: 1, wakeMs: 500, stamp: 0 };
    unsorted(usage);
    usage.sort(files.map((inode) => ({ inode, ...asleep })));
    let woken = 0;
    const found = unsorted(usage, {
      now: 500,
      limit: 2,
      onPage: (inodes) => {
        assert.ok(woken < 20, "the walk goes on and on");
        woken += inodes.length;
        usage.sort(inodes.map((inode) => ({ inode, ...asleep, wakeMs: 499 })));
      },
    });
    assert.deepEqual(found, files);
    database.close({ clean: true });
  }),
);

Deno.test(
  "a queue comes by rank, in pages, and only while its files are resident and unchanged",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    const files = Array.from({ length: 10 }, () => file(1).id);
    files.forEach((inode, i) => usage.record(inode, 1000 - (i >> 1)));
    assert.deepEqual(unsorted(usage), files);
    sortAll(database, usage);
    assert.deepEqual(unsorted(usage), []);
    const all = ranked(usage, { limit: 100 });
    assert.deepEqual(all.map((each) => each.rank), [
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
    const pages: QueueRow[] = [];
    let page: QueueRow[];
    do {
      page = ranked(usage, { limit: 3, after: pages.at(-1) });
      pages.push(...page);
    } while (page.length > 0);
    assert.deepEqual(pages, all);
    usage.setResident(files[9], false);
    usage.remove(files[8]);
    usage.record(files[8], 6000);
    usage.record(files[7], 7000);
    assert.deepEqual(unsorted(usage), [files[7]]);
    assert.deepEqual(orderOf(usage).length, 7);
    sortAll(database, usage);
    assert.equal(orderOf(usage).at(-1), files[7]);
    // A recall is no use.
    usage.recalled(files[9], { atMs: 9000, by: "tar" });
    sortAll(database, usage);
    assert.equal(orderOf(usage)[0], files[9]);
    assert.equal(usage.lastUsed(files[9]), 996);
    database.close({ clean: true });
  }),
);

Deno.test(
  "what was sorted before a change does not count, and what waits comes back in time",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    const [a, b] = [file(1).id, file(1).id];
    for (const inode of [a, b]) usage.record(inode, 10);
    assert.equal(unsorted(usage).length, 2);
    usage.record(a, 20);
    usage.flush();
    const held = { class: UsageClass.HELD, rank: 1, wakeMs: 500, stamp: 0 };
    usage.sort([{ inode: a, ...held }, { inode: b, ...held }]);
    assert.deepEqual(unsorted(usage, { now: 499 }), [a]);
    assert.deepEqual(unsorted(usage, { now: 500 }), [a, b]);
    assert.deepEqual(unsorted(usage, { now: 500, limit: 1 }), [a, b]);
    const tally = usage.tally().filter((each) => each.files > 0);
    assert.deepEqual(
      tally.map((each) => ({ ...each })),
      [
        { class: UsageClass.UNSORTED, files: 1, bytes: 0 },
        { class: UsageClass.HELD, files: 1, bytes: 4096 },
      ],
    );
    assert.equal(usage.unsortSome({ after: 0, limit: 100 }), undefined);
    assert.deepEqual(unsorted(usage), [a, b]);
    database.close({ clean: true });
  }),
);

Deno.test(
  "heat counts uses and halves with time, across a remount",
  withDirectory((directory) => {
    const { database, usage, file } = create(directory);
    usage.halfLifeMs = 1000;
    const inode = file(1).id;
    usage.record(inode, 1000);
    usage.flush();
    database.close({ clean: true });
    const again = MetadataDatabase.open({ directory });
    const second = new UsageTable(again);
    second.halfLifeMs = 1000;
    second.record(inode, 2000);
    second.record(inode, 2000);
    second.flush();
    const row = again.statement("SELECT heat, heat_at_ms, uses FROM history.usage").get()!;
    // One at the start of 1970, halved; one at 1 s; halved again; and two.
    assert.equal(row.heat, (1 / 2 + 1) / 2 + 2);
    assert.equal(row.heat_at_ms, 2000);
    assert.deepEqual(unpackTimes(row.uses as Uint8Array), [1000, 2000, 2000]);
    again.close({ clean: true });
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
        assert.equal(unsorted(usage).length, 10);
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
        sortAll(third, usage);
        assert.deepEqual(orderOf(usage), [...files.slice(0, 24).reverse(), files[24]]);
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
    usage.setResident(inode, true);
    database.close({ clean: false });
    const again = MetadataDatabase.open({ directory });
    const rebuilt = new UsageTable(again);
    assert.deepEqual(unsorted(rebuilt), []);
    while (!rebuilt.refill({ limit: 100 }));
    assert.deepEqual(unsorted(rebuilt), [inode]);
    again.close({ clean: true });
  }),
);
