/** Folders of content files: made when they are needed, durable when something in them has to be. */
import assert from "node:assert/strict";
import { SeededRandom } from "../harness/seeded_random.ts";
import { data, lawTest } from "../harness/law_test.ts";

lawTest(
  "the first fsync in a new folder makes the way there durable, later ones the folder only",
  (fixture) => {
    const [first, second] = ["a", "b"].map((name) => fixture.create(name));
    for (const file of [first, second]) fixture.write(file, 0, data(file.inode, 5000));
    const { store } = fixture;
    const folders = store.foldersOf(first.inode);
    assert.equal(folders.length, 3);
    assert.equal(folders[2], store.directory);
    fixture.fsync(first);
    assert.deepEqual(store.foldersOf(second.inode), [folders[0]]);
    // Once its way is durable, no power cut takes it away.
    for (let seed = 1; seed <= 8; seed++) {
      const directory = `${store.directory}.cut${seed}`;
      Deno.mkdirSync(directory);
      fixture.disk.afterPowerCut({
        content: directory,
        walPath: `${directory}/wal`,
        random: new SeededRandom(seed),
      });
      const path = store.path(first.inode, 1).replace(store.directory, directory);
      assert.deepEqual(Deno.readFileSync(path), data(first.inode, 5000));
    }
    fixture.closeFile(first);
    fixture.closeFile(second);
  },
);

lawTest("a sync that fails does not count a folder as durable", (fixture) => {
  const file = fixture.create("a");
  fixture.write(file, 0, data(1, 5000));
  fixture.disk.fault = (label) => label.includes("folder") ? 5 : 0;
  fixture.kernel.fsync(file.inode, { handle: file.handle });
  fixture.work();
  assert.equal(fixture.store.foldersOf(file.inode).length, 3);
  fixture.disk.fault = () => 0;
});
