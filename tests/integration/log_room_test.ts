/** The log that is made long before it is needed (log_room.ts): SQLite takes it for an empty one. */
import assert from "node:assert/strict";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { makeLogRoom } from "../../src/metadata/log_room.ts";
import { createDatabase, killed } from "../harness/database_directory.ts";
import { withDirectory } from "../harness/scratch_directory.ts";

const logOf = (directory: string) => `${directory}/metadata.db-wal`;
const lengthOf = (path: string) => Deno.statSync(path).size;

Deno.test(
  "commits do not make a log longer that has room, and a kill loses none of them",
  withDirectory((directory) => {
    createDatabase(directory).close({ clean: true });
    makeLogRoom(directory);
    const room = lengthOf(logOf(directory));
    assert(room > 0);
    const database = MetadataDatabase.open({ directory });
    assert.equal(database.wasClean, true);
    for (let i = 0; i < 100; i++) database.setSetting("suspect", `commit ${i}`);
    assert.equal(lengthOf(logOf(directory)), room);
    const next = MetadataDatabase.open({ directory: killed(directory, `${directory}/next`) });
    assert.equal(next.setting("suspect"), "commit 99");
    next.close({ clean: true });
    database.close({ clean: true });
  }),
);

Deno.test(
  "what is in a log stays there",
  withDirectory((directory) => {
    const database = createDatabase(directory);
    database.setSetting("suspect", "in the log only");
    const next = killed(directory, `${directory}/next`);
    const before = Deno.readFileSync(logOf(next));
    assert(before.length > 0);
    makeLogRoom(next);
    assert.deepEqual(Deno.readFileSync(logOf(next)), before);
    const again = MetadataDatabase.open({ directory: next });
    assert.equal(again.setting("suspect"), "in the log only");
    again.close({ clean: true });
    database.close({ clean: true });
  }),
);

Deno.test(
  "a reader that has the log open already sees what is written into it",
  withDirectory((directory) => {
    createDatabase(directory).close({ clean: true });
    const reader = MetadataDatabase.open({ directory, readOnly: true });
    makeLogRoom(directory);
    const database = MetadataDatabase.open({ directory });
    database.setSetting("suspect", "seen");
    assert.equal(reader.setting("suspect"), "seen");
    database.close({ clean: true });
    reader.close({ clean: true });
  }),
);
