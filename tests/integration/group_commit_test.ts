/** Operations that share a commit: what a kill, a full disk and an error in one of them leave of them. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { Errno } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import { openMetadata } from "../../src/metadata/connection.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { DentryTable } from "../../src/metadata/dentry_table.ts";
import { finish } from "../../src/metadata/finish.ts";
import { GroupCommit, recover } from "../../src/metadata/group_commit.ts";
import { written } from "../../src/metadata/logged_statement.ts";
import { type Parameter, readRedo, RedoLog } from "../../src/metadata/redo_log.ts";
import { TotalTable } from "../../src/metadata/total_table.ts";
import { createDatabase, killed } from "../harness/database_directory.ts";
import { lawTest } from "../harness/law_test.ts";
import { bytes } from "../harness/namespace_fixture.ts";
import { withDirectory } from "../harness/scratch_directory.ts";
import { SimulatedClock } from "../harness/simulated_clock.ts";

const clock = new SimulatedClock();

const create = (directory: string) => createDatabase(directory, { clock, grouped: true });

function names(directory: string): string[] {
  const database = MetadataDatabase.open({ directory });
  try {
    assert.equal(
      database.statement("PRAGMA integrity_check").get()?.integrity_check,
      "ok",
    );
    return new DentryTable(database).list(1, { after: 0, limit: 1000 })
      .map(({ name }) => String(name));
  } finally {
    database.close({ clean: false });
  }
}

const add = (database: MetadataDatabase, name: string) =>
  database.transaction(() => new DentryTable(database).insert(1, bytes(name), 1));

Deno.test(
  "a redo log tells the statements of its group again, with values of every kind",
  withDirectory((directory) => {
    const path = `${directory}/redo`;
    const log = new RedoLog(path);
    const values: Parameter[] = [null, 0, -1.5, 2 ** 53 - 1, 2n ** 62n, "ü€", bytes("\0ÿ")];
    log.begin();
    log.add(3, "INSERT 1", values);
    log.add(3, "INSERT 1", []);
    assert.equal(log.seal(7), true);
    log.begin();
    log.add(4, "never sealed", []);
    log.begin();
    log.add(4, "UPDATE 2", [new Uint8Array(100_000).fill(9)]);
    assert.equal(log.seal(7), true);
    const expected = [
      { sql: "INSERT 1", parameters: values },
      { sql: "INSERT 1", parameters: [] },
      { sql: "UPDATE 2", parameters: [new Uint8Array(100_000).fill(9)] },
    ];
    assert.deepEqual(readRedo(path, 7), expected);
    assert.deepEqual(log.statements(7), expected);
    assert.deepEqual(readRedo(path, 8), [], "another group's");
    log.reset();
    log.begin();
    log.add(5, "DELETE 3", []);
    log.seal(8);
    assert.deepEqual(readRedo(path, 8), [{ sql: "DELETE 3", parameters: [] }]);
    assert.deepEqual(readRedo(path, 7), [], "what was overwritten is no group's any more");
    log.begin();
    log.add(6, "too much", [new Uint8Array(2 << 20)]);
    assert.equal(log.seal(8), false);
    log.close();
    assert.deepEqual(readRedo(`${directory}/none`, 1), []);
  }),
);

Deno.test(
  "of a redo log that a power cut has damaged nothing is read beyond the damage",
  withDirectory((directory) => {
    const path = `${directory}/redo`;
    const log = new RedoLog(path);
    for (let i = 0; i < 5; i++) {
      log.begin();
      log.add(1, "INSERT", [i, bytes(`name ${i}`)]);
      log.seal(1);
    }
    const length = log.length;
    log.close();
    const whole = Deno.readFileSync(path);
    const all = readRedo(path, 1);
    for (let at = 0; at < length; at++) {
      const damaged = whole.slice();
      damaged[at] ^= 0x10;
      Deno.writeFileSync(path, damaged);
      const read = readRedo(path, 1);
      assert(read.length < all.length, `byte ${at} does not matter`);
      assert.deepEqual(read, all.slice(0, read.length));
    }
  }),
);

Deno.test("what a statement writes is told by its text", () => {
  assert.equal(written("INSERT INTO map (a) VALUES (?)"), "main");
  assert.equal(written("  INSERT OR IGNORE INTO orphan (inode) VALUES (?)"), "main");
  assert.equal(written("UPDATE total SET sequence = 1 RETURNING sequence"), "main");
  assert.equal(written("DELETE FROM setting WHERE name = ?"), "main");
  assert.equal(written("UPDATE history.usage SET class = 0"), "history");
  assert.equal(written("INSERT INTO history.usage SELECT id FROM main.inode"), "history");
  assert.equal(written("SELECT 1"), undefined);
  assert.equal(written("PRAGMA wal_checkpoint(passive)"), undefined);
});

Deno.test(
  "a kill loses no transaction that has returned, although none was committed, and does none twice",
  withDirectory((directory) => {
    const database = create(directory);
    for (let i = 0; i < 20; i++) add(database, `name ${i}`);
    const generation = database.nextGeneration();
    const reader = MetadataDatabase.open({ directory, readOnly: true });
    assert.equal(new DentryTable(reader).isEmpty(1), true, "no other connection sees them yet");
    reader.close({ clean: false });
    const copy = killed(directory, `${directory}/killed`);
    database.close({ clean: false });
    const expected = Array.from({ length: 20 }, (_, i) => `name ${i}`);
    assert.deepEqual(names(copy), expected);
    assert.deepEqual(names(copy), expected, "opened again");
    const again = MetadataDatabase.open({ directory: copy, grouped: true });
    assert(again.nextGeneration() > generation);
    add(again, "one more");
    const copyOfCopy = killed(copy, `${directory}/killed again`);
    again.close({ clean: false });
    assert.deepEqual(names(copyOfCopy), [...expected, "one more"]);
    assert.deepEqual(names(directory), expected, "closed without being clean");
  }),
);

Deno.test(
  "who only reads a cache after a kill can have it finished first; a finished one is not touched",
  withDirectory((directory) => {
    const database = create(directory);
    add(database, "last");
    const copy = killed(directory, `${directory}/killed`);
    database.close({ clean: false });
    const seen = () => {
      const reader = MetadataDatabase.open({ directory: copy, readOnly: true });
      const empty = new DentryTable(reader).isEmpty(1);
      reader.close({ clean: false });
      return !empty;
    };
    assert.equal(seen(), false);
    finish(copy);
    assert.equal(seen(), true);
    const before = Deno.readFileSync(`${copy}/metadata.db`);
    finish(copy);
    assert.deepEqual(Deno.readFileSync(`${copy}/metadata.db`), before);
    assert.deepEqual(names(copy), ["last"]);
  }),
);

Deno.test(
  "a transaction that fails is undone, and those before it in its group are not",
  withDirectory((directory) => {
    const database = create(directory);
    const undone: string[] = [];
    database.onRollback(() => undone.push("undone"));
    for (let round = 0; round < 3; round++) {
      add(database, `before ${round}`);
      assert.throws(() =>
        database.transaction(() => {
          add(database, "wrong");
          database.setSetting("epoch", 1);
          throw new Error("no");
        }), /no/);
      add(database, `after ${round}`);
    }
    assert.deepEqual(undone, ["undone", "undone", "undone"]);
    assert.equal(database.setting("epoch"), undefined);
    const expected = [0, 1, 2].flatMap((round) => [`before ${round}`, `after ${round}`]);
    assert.deepEqual(names(killed(directory, `${directory}/killed`)), expected);
    database.close({ clean: true });
    assert.deepEqual(names(directory), expected);
  }),
);

Deno.test(
  "a group that grows too long for its log is committed, with the transaction that did not fit",
  withDirectory((directory) => {
    const database = create(directory);
    let commits = 0;
    database.onWritten(() => commits++);
    const value = new Uint8Array(60_000);
    const set = (name: string) => database.setSetting(name, new TextDecoder().decode(value));
    database.transaction(() => {
      for (let i = 0; i < 30; i++) set(`big ${i}`);
    });
    assert.equal(commits, 1);
    for (let i = 0; i < 2000; i++) add(database, `${i}`);
    assert(commits >= 3 && commits < 20, `${commits} commits`);
    assert.equal(names(killed(directory, `${directory}/killed`)).length, 1000);
    database.close({ clean: true });
  }),
);

for (
  const [what, lose] of [
    ["committed at once", (database: MetadataDatabase) => {
      database.transaction(() => new DentryTable(database).insert(1, bytes("lost"), 1), {
        commit: true,
      });
    }],
    ["too long for the log", (database: MetadataDatabase) => {
      database.transaction(() => {
        for (let i = 0; i < 30; i++) database.setSetting(`big ${i}`, "x".repeat(60_000));
        new DentryTable(database).insert(1, bytes("lost"), 1);
      });
    }],
  ] as const
) {
  Deno.test(
    `a power cut that loses a transaction that was ${what} does not run what came after it again`,
    withDirectory((directory) => {
      const database = create(directory);
      add(database, "before");
      database.commit();
      const cut = killed(directory, `${directory}/cut`);
      lose(database);
      add(database, "after");
      // Of what was never synced a disk may keep the one file and lose the other.
      Deno.copyFileSync(`${directory}/metadata.redo`, `${cut}/metadata.redo`);
      assert.deepEqual(names(killed(directory, `${directory}/killed`)), [
        "before",
        "lost",
        "after",
      ]);
      database.close({ clean: false });
      assert.deepEqual(names(cut), ["before"]);
    }),
  );
}

/** A connection whose commits fail while the disk is full. */
function onFullDisk(connection: DatabaseSync, isFull: () => boolean): DatabaseSync {
  return new Proxy(connection, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key !== "prepare") return value.bind(target);
      return (sql: string) => {
        const statement = target.prepare(sql);
        if (sql !== "COMMIT") return statement;
        return {
          run() {
            if (!isFull()) return statement.run();
            target.exec("ROLLBACK"); // As SQLite may do by itself.
            throw new FsError(Errno.ENOSPC);
          },
        };
      };
    },
  });
}

Deno.test(
  "a full disk at the commit loses nothing that was done, and stops what comes until it has room",
  withDirectory((directory) => {
    create(directory).close({ clean: true });
    let full = false;
    const connection = openMetadata(directory);
    const path = `${directory}/metadata.redo`;
    const groups = GroupCommit.on(onFullDisk(connection, () => full), { path })!;
    const sql = "INSERT INTO setting (name, value) VALUES (?, ?)";
    const put = (name: string, options = { commit: false }) => {
      groups.begin();
      try {
        connection.prepare(sql).run(name, 1);
        groups.ran(1, sql, [name, 1]);
        groups.end(options);
      } catch (error) {
        groups.undo();
        throw error;
      }
      groups.settle();
    };
    const stored = () =>
      connection.prepare("SELECT name FROM setting WHERE value = 1 AND name < 'c'").all()
        .map(({ name }) => name);
    put("a1");
    full = true;
    put("a2");
    assert.throws(() => put("b1", { commit: true }), FsError, "it asked for more than the log");
    assert.deepEqual(stored(), ["a1", "a2"]);
    assert.throws(() => groups.commit(), FsError);
    assert.throws(() => put("b2"), FsError, "nothing more is begun");
    assert.deepEqual(stored(), ["a1", "a2"]);
    const copy = openMetadata(killed(directory, `${directory}/killed`));
    assert(recover(copy, { path: `${directory}/killed/metadata.redo` }) > 0);
    assert.equal(
      copy.prepare("SELECT count(*) AS n FROM setting WHERE name LIKE 'a_'").get()!.n,
      2,
    );
    copy.close();
    full = false;
    put("b3");
    groups.commit();
    assert.equal(connection.isTransaction, false);
    assert.deepEqual(stored(), ["a1", "a2", "b3"]);
    groups.close();
    connection.close();
  }),
);

lawTest("what the bucket is about to be told is committed before anybody reads it", (fixture) => {
  fixture.create("new");
  const reader = MetadataDatabase.open({ directory: fixture.cache, readOnly: true });
  try {
    assert.equal(new TotalTable(reader).read().files, 1, "the group is still open");
    fixture.engine.call("metadataReading", {});
    assert.equal(new TotalTable(reader).read().files, 2);
  } finally {
    reader.close({ clean: false });
  }
});

lawTest("a group is committed soon, though nothing more comes", (fixture) => {
  fixture.create("new");
  const reader = MetadataDatabase.open({ directory: fixture.cache, readOnly: true });
  try {
    fixture.pass(100);
    assert.equal(new TotalTable(reader).read().files, 2);
  } finally {
    reader.close({ clean: false });
  }
});

lawTest(
  "fsync commits before it syncs the log: a power cut that takes the redo log takes no file",
  (fixture) => {
    const file = fixture.create("kept");
    fixture.write(file, 0, "content");
    fixture.fsync(file);
    const walAtSync = Deno.statSync(fixture.database.walPath!).size;
    fixture.create("perhaps lost");
    const copy = killed(fixture.cache, `${fixture.cache}/cut`);
    Deno.removeSync(`${copy}/metadata.redo`);
    Deno.truncateSync(`${copy}/metadata.db-wal`, walAtSync);
    assert.deepEqual(names(copy), ["kept"]);
  },
);
