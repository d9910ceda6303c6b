/** Attributes that are set while a file is being written wait in memory for its close, like its size. */
import assert from "node:assert/strict";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { data, lawTest } from "../harness/law_test.ts";

const WRONLY = 1;

/** What the table says: what a kill leaves. */
const stored = (fixture: FilesystemFixture, inode: number) => ({
  ...fixture.database.statement("SELECT mode & 511 AS mode, uid, mtime_s FROM inode WHERE id = ?")
    .get(inode),
});

const shown = (fixture: FilesystemFixture, inode: number) => {
  const { attributes } = fixture.answered(fixture.kernel.getattr(inode)).value;
  return {
    mode: attributes.mode & 0o777,
    uid: attributes.uid,
    mtime_s: Number(attributes.mtime.seconds),
  };
};

/** As an archiver does it: content, times, owner, mode. */
function unpack(fixture: FilesystemFixture) {
  const file = fixture.create("a", { flags: WRONLY });
  fixture.write(file, 0, data(1, 5000));
  const { kernel } = fixture;
  const mtime = { seconds: 1_000_000, nanoseconds: 5 };
  fixture.answered(kernel.setattr(file.inode, { mtime }));
  fixture.answered(kernel.setattr(file.inode, { uid: 7 }));
  fixture.answered(kernel.setattr(file.inode, { mode: 0o100640 }));
  return file;
}

const WANTED = { mode: 0o640, uid: 7, mtime_s: 1_000_000 };

lawTest(
  "owner, mode and times that are set before close are written with it, and survive a kill",
  (fixture) => {
    const file = unpack(fixture);
    assert.deepEqual(shown(fixture, file.inode), WANTED);
    assert.notDeepEqual(stored(fixture, file.inode), WANTED, "nothing was written for them alone");
    fixture.closeFile(file);
    assert.deepEqual(stored(fixture, file.inode), WANTED);
    const next = fixture.crash("kill");
    assert.deepEqual(shown(next, file.inode), WANTED);
  },
);

lawTest("attributes of a file that stays open are written after a second", (fixture) => {
  const file = unpack(fixture);
  fixture.core.flushAll();
  assert.deepEqual(stored(fixture, file.inode), WANTED);
  fixture.closeFile(file);
});

lawTest(
  "attributes that are set beside other transactions are kept when one of them is undone",
  (fixture) => {
    const file = unpack(fixture);
    assert.throws(() =>
      fixture.database.transaction(() => {
        fixture.database.statement("UPDATE inode SET mode = 0 WHERE id = ?").run(file.inode);
        throw new Error("as meant");
      }), /as meant/);
    assert.deepEqual(shown(fixture, file.inode), WANTED);
    fixture.closeFile(file);
    assert.deepEqual(stored(fixture, file.inode), WANTED);
  },
);
