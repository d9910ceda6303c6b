/** Migrations: forward, all or nothing, with the old database kept beside. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { UserError } from "../../src/domain/errors.ts";
import { backupPath, migrate, type Migration } from "../../src/metadata/migrations.ts";
import { withDirectory } from "../harness/scratch_directory.ts";

const steps: Migration[] = [
  { from: 1, apply: (db) => db.exec("ALTER TABLE thing ADD COLUMN colour TEXT") },
  { from: 2, apply: (db) => db.exec("UPDATE thing SET colour = 'red'") },
];

function old(directory: string): { connection: DatabaseSync; path: string } {
  const path = `${directory}/metadata.db`;
  const connection = new DatabaseSync(path);
  connection.exec(`CREATE TABLE setting (name TEXT PRIMARY KEY, value ANY);
    INSERT INTO setting VALUES ('schema_version', 1);
    CREATE TABLE thing (id INTEGER PRIMARY KEY); INSERT INTO thing VALUES (7)`);
  return { connection, path };
}

const version = (connection: DatabaseSync) =>
  connection.prepare("SELECT value FROM setting WHERE name = 'schema_version'").get()!.value;

Deno.test(
  "an older database takes every step at once, and a copy of it stays",
  withDirectory((directory) => {
    const { connection, path } = old(directory);
    Deno.writeTextFileSync(backupPath(path, 1), "left by an attempt that was cut short");
    migrate(connection, { path, version: 1, target: 3, steps });
    assert.equal(version(connection), 3);
    assert.equal(connection.prepare("SELECT colour FROM thing").get()!.colour, "red");
    connection.close();
    const backup = new DatabaseSync(backupPath(path, 1));
    assert.equal(version(backup), 1);
    assert.deepEqual({ ...backup.prepare("SELECT * FROM thing").get() }, { id: 7 });
    backup.close();
  }),
);

Deno.test(
  "a step that fails undoes those before it",
  withDirectory((directory) => {
    const { connection, path } = old(directory);
    const failing = [steps[0], { from: 2, apply: () => assert.fail("broken step") }];
    assert.throws(
      () => migrate(connection, { path, version: 1, target: 3, steps: failing }),
      /broken step/,
    );
    assert.equal(version(connection), 1);
    assert.deepEqual({ ...connection.prepare("SELECT * FROM thing").get() }, { id: 7 });
    connection.close();
  }),
);

Deno.test(
  "a database that is newer, or too old for the steps there are, is left alone",
  withDirectory((directory) => {
    const { connection, path } = old(directory);
    assert.throws(() => migrate(connection, { path, version: 4, target: 3, steps }), UserError);
    assert.throws(
      () => migrate(connection, { path, version: 0, target: 3, steps }),
      /no way from 0/,
    );
    assert.throws(() => Deno.statSync(backupPath(path, 0)), Deno.errors.NotFound);
    migrate(connection, { path, version: 3, target: 3, steps });
    connection.close();
  }),
);
