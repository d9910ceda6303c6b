/** The metadata database on a disk: created, opened, refused, killed, full. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { Errno } from "../../src/domain/errno.ts";
import { FsError, InvariantError, UserError } from "../../src/domain/errors.ts";
import { InodeCache } from "../../src/filesystem/inode_cache.ts";
import { Checkpointer } from "../../src/metadata/checkpointer.ts";
import { historyPath, LOG_BYTES, metadataPath } from "../../src/metadata/connection.ts";
import { type CreateOptions, MetadataDatabase } from "../../src/metadata/database.ts";
import { DentryTable } from "../../src/metadata/dentry_table.ts";
import { boundLogs } from "../../src/metadata/log_bound.ts";
import { ROOM_BYTES } from "../../src/metadata/log_room.ts";
import { SCHEMA_VERSION } from "../../src/metadata/schema.ts";
import { TotalTable } from "../../src/metadata/total_table.ts";
import { createDatabase } from "../harness/database_directory.ts";
import { bytes, NamespaceFixture } from "../harness/namespace_fixture.ts";
import { withDirectory } from "../harness/scratch_directory.ts";
import { SimulatedClock } from "../harness/simulated_clock.ts";

const clock = new SimulatedClock();

const create = (directory: string, options: Partial<CreateOptions> = {}) =>
  createDatabase(directory, { clock, ...options });

Deno.test(
  "a new file system has its settings and an empty root that belongs to whom it should",
  withDirectory((directory) => {
    create(directory, { root: { uid: 10, gid: 20, mode: 0o700 } }).close({ clean: true });
    const database = MetadataDatabase.open({ directory });
    try {
      assert.equal(database.setting("file_system_id"), "0123");
      assert.equal(database.setting("chunk_size"), 4 << 20);
      assert.equal(database.setting("schema_version"), SCHEMA_VERSION);
      assert.equal(database.setting("created_ms"), clock.wallMs());
      assert.equal(database.setting("nothing"), undefined);
      const root = new InodeCache(database, { limit: 64 }).require(1);
      assert.deepEqual([root.mode, root.uid, root.gid, root.nlink], [0o040700, 10, 20, 2]);
      const { files, sequence } = new TotalTable(database).read();
      assert.deepEqual([files, sequence], [1, 0]);
    } finally {
      database.close({ clean: true });
    }
  }),
);

Deno.test(
  "settings survive, change and go",
  withDirectory((directory) => {
    const database = create(directory);
    database.setSetting("epoch", 7);
    database.setSetting("suspect", "fsync failed");
    database.setSetting("suspect", undefined);
    database.close({ clean: true });
    const again = MetadataDatabase.open({ directory });
    assert.equal(again.setting("epoch"), 7);
    assert.equal(again.setting("suspect"), undefined);
    again.close({ clean: true });
  }),
);

Deno.test(
  "a cache that holds a file system is not made anew, one where that was cut short is",
  withDirectory((directory) => {
    Deno.writeFileSync(`${directory}/metadata.db`, new Uint8Array());
    create(directory).close({ clean: true });
    assert.throws(() => create(directory), (error) => {
      assert(error instanceof UserError);
      return /already holds a file system/.test(error.message);
    });
  }),
);

Deno.test(
  "opening says what is wrong: nothing there, something else there, damage, a newer zero",
  withDirectory((directory) => {
    const path = `${directory}/metadata.db`;
    const refused = (pattern: RegExp) =>
      assert.throws(() => MetadataDatabase.open({ directory }), (error) => {
        assert(error instanceof UserError, String(error));
        assert.match(error.message, pattern);
        assert(error.hint !== undefined);
        return true;
      });
    refused(/holds no file system/);
    Deno.writeTextFileSync(path, "not a database at all, but long enough to look at".repeat(200));
    refused(/cannot open .*not a database/);
    Deno.removeSync(path);
    const database = create(directory);
    database.setSetting("schema_version", SCHEMA_VERSION + 1);
    database.close({ clean: true });
    refused(/newer zero \(schema 2, this program knows 1\)/);
    assert.throws(() => MetadataDatabase.open({ directory, readOnly: true }), /newer zero/);
  }),
);

Deno.test(
  "a stop counts as clean only if it was said to be, and only once",
  withDirectory((directory) => {
    create(directory).close({ clean: true });
    const first = MetadataDatabase.open({ directory });
    assert.equal(first.wasClean, true);
    first.close({ clean: false });
    const second = MetadataDatabase.open({ directory });
    assert.equal(second.wasClean, false);
    second.close({ clean: true });
    const reader = MetadataDatabase.open({ directory, readOnly: true });
    assert.equal(reader.wasClean, true);
    reader.close({ clean: false });
    const third = MetadataDatabase.open({ directory });
    assert.equal(third.wasClean, true);
    third.close({ clean: false });
  }),
);

Deno.test(
  "generations rise and never repeat, whether the end is clean, unclean or in a rollback",
  withDirectory((directory) => {
    let last = 0;
    const take = (database: MetadataDatabase, count: number) => {
      for (let i = 0; i < count; i++) {
        const next = database.nextGeneration();
        assert(next > last, `${next} after ${last}`);
        last = next;
      }
    };
    let database = create(directory);
    take(database, 10_000);
    for (const clean of [true, false, true]) {
      database.close({ clean });
      database = MetadataDatabase.open({ directory });
      take(database, 3);
    }
    // The block that is reserved in here is taken back, its values are not given out again.
    assert.throws(() =>
      database.transaction(() => {
        take(database, 5000);
        throw new Error("no");
      }), /no/);
    take(database, 3);
    database.close({ clean: false });
    database = MetadataDatabase.open({ directory });
    take(database, 3);
    database.close({ clean: true });
  }),
);

Deno.test(
  "a process that is killed in a transaction leaves every committed one, and none of that one",
  withDirectory(async (directory) => {
    create(directory).close({ clean: true });
    const child = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        new URL("./metadata_killed_child.ts", import.meta.url).pathname,
        directory,
      ],
      stdout: "piped",
      stderr: "piped",
    }).output();
    assert.equal(child.signal, "SIGKILL", new TextDecoder().decode(child.stderr));
    const generation = Number(new TextDecoder().decode(child.stdout));
    assert(generation > 4096);
    const database = MetadataDatabase.open({ directory });
    try {
      assert.equal(database.wasClean, false);
      assert(database.nextGeneration() > generation);
      const dentries = new DentryTable(database);
      assert.notEqual(dentries.find(1, bytes("committed")), undefined);
      assert.equal(dentries.find(1, bytes("uncommitted")), undefined);
      assert.equal(new TotalTable(database).read().files, 2);
      const check = database.statement("PRAGMA integrity_check").get();
      assert.equal(check?.integrity_check, "ok");
    } finally {
      database.close({ clean: true });
    }
  }),
);

Deno.test(
  "a full disk is ENOSPC, and afterwards memory and rows are as before",
  withDirectory((directory) => {
    const fixture = new NamespaceFixture({ directory });
    try {
      const first = fixture.create(1, "first");
      fixture.database.checkpoint("truncate");
      const pages = fixture.database.statement("PRAGMA main.page_count").get()!.page_count;
      fixture.database.statement(`PRAGMA main.max_page_count = ${Number(pages) + 3}`).get();
      const value = new Uint8Array(60_000);
      const header = fixture.header(first);
      const set = { ...header, name: bytes("user.big"), value, flags: 0, killSetgid: false };
      const before = fixture.stat(first);
      fixture.tick();
      assert.throws(
        () => fixture.namespace.setxattr(set),
        (error) => error instanceof FsError && error.errno === Errno.ENOSPC,
      );
      assert.deepEqual(fixture.stat(first), before);
      fixture.assertIntact();
      fixture.database.statement("PRAGMA main.max_page_count = 100000").get();
      fixture.namespace.setxattr(set);
      assert.deepEqual(fixture.stat(first).ctime, fixture.clock.now());
    } finally {
      fixture.close();
    }
  }),
);

Deno.test(
  "a row that breaks an invariant stops its transaction as a defect",
  withDirectory((directory) => {
    const database = create(directory);
    assert.throws(() =>
      database.transaction(() => {
        database.setSetting("epoch", 1);
        database.statement("UPDATE inode SET resident = 1").run();
      }), InvariantError);
    assert.equal(database.setting("epoch"), undefined);
    database.close({ clean: true });
  }),
);

Deno.test(
  "a reader sees what was committed while the writer goes on, and may write nothing",
  withDirectory((directory) => {
    const writer = create(directory);
    const reader = MetadataDatabase.open({ directory, readOnly: true });
    try {
      const inodes = new InodeCache(writer, { limit: 64 });
      const add = () =>
        inodes.insert({ mode: 0o100644, uid: 0, gid: 0, nlink: 0, time: clock.now() });
      writer.transaction(() => {
        add();
        assert.equal(new TotalTable(reader).read().files, 1);
      });
      assert.equal(new TotalTable(reader).read().files, 2);
      assert.throws(() => reader.transaction(() => 1), InvariantError);
      assert.throws(() => reader.setSetting("epoch", 1), /readonly/);
    } finally {
      reader.close({ clean: false });
      writer.close({ clean: true });
    }
  }),
);

Deno.test(
  "a checkpoint moves the log into the database, and truncating leaves it empty",
  withDirectory((directory) => {
    const database = create(directory);
    database.setSetting("epoch", 1);
    assert.equal(database.walPath, `${directory}/metadata.db-wal`);
    const { walPages, copiedPages } = database.checkpoint("passive");
    assert(walPages > 0);
    assert.equal(copiedPages, walPages);
    database.checkpoint("truncate");
    assert.equal(Deno.statSync(database.walPath!).size, 0);
    database.close({ clean: true });
  }),
);

for (const schema of ["main", "history"]) {
  Deno.test(
    `the log of ${schema} grew for ever while somebody wrote during each checkpoint`,
    withDirectory((directory) => {
      const database = create(directory);
      const helper = new Checkpointer(directory);
      const path = schema === "main" ? metadataPath(directory) : historyPath(directory);
      database.statement(`CREATE TABLE ${schema}.filler (id INTEGER PRIMARY KEY, data BLOB)`).run();
      const write = (bytes: number) =>
        database.transaction(
          () =>
            database.statement(`INSERT OR REPLACE INTO ${schema}.filler VALUES (1, zeroblob(?))`)
              .run(bytes),
          { commit: true },
        );
      let longest = 0;
      const rounds = (count: number, { bytes, busy }: { bytes: number; busy: boolean }) => {
        for (let round = 0; round < count; round++) {
          write(bytes);
          // What a helper does not see of what is written meanwhile, it does not see for this reader's sake.
          const reader = new DatabaseSync(path, { readOnly: true });
          reader.exec("BEGIN; SELECT count(*) FROM filler");
          write(100);
          helper.run();
          reader.exec("COMMIT");
          reader.close();
          boundLogs(database, directory, { busy });
          longest = Math.max(longest, Deno.statSync(`${path}-wal`).size);
        }
      };
      rounds(24, { bytes: ROOM_BYTES / 8, busy: true });
      assert(longest < 1.5 * ROOM_BYTES, `${longest} bytes`);
      rounds(24, { bytes: 8 * 1024 * 1024, busy: false });
      assert(longest > LOG_BYTES, "nothing had to be done");
      assert(longest < 1.5 * LOG_BYTES, `${longest} bytes`);
      helper.close();
      database.close({ clean: true });
    }),
  );
}
