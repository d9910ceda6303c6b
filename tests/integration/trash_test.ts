/** Bringing versions back from the trash: large ones in slices, and what happens when that is cut short. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { CareFixture, CHUNK } from "../harness/care_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const CHUNKS = 2_300;

/** A file of more chunks than one transaction touches, in the trash; most of its chunks are the same. */
async function largeInTrash(): Promise<
  { zero: CareFixture; content: Uint8Array; version: number }
> {
  const zero = new CareFixture();
  const piece = new SeededRandom(2).bytes(CHUNK);
  const content = new Uint8Array(CHUNKS * CHUNK);
  for (let at = 0; at < CHUNKS; at++) content.set(piece, at * CHUNK);
  content.set(new SeededRandom(3).bytes(100), 2_200 * CHUNK);
  zero.write("large", content);
  await zero.sync();
  zero.unlink("large");
  const [{ version, path }] = await zero.port.call("trash", { after: 0, limit: 10 });
  assert.equal(new TextDecoder().decode(path), "large");
  return { zero, content, version };
}

Deno.test("a large file comes back in slices, is clean, and reads as before", async () => {
  const { zero, content, version } = await largeInTrash();
  await using _ = zero;
  const inode = zero.write("back", new Uint8Array(0));
  assert.deepEqual(await zero.port.call("undelete", { version, inode }), { chunks: CHUNKS });
  const report = await zero.port.call("residency", { inode });
  assert.equal(report!.dirty, false);
  assert.equal(report!.residentBytes, 0);
  assert.deepEqual(await zero.port.call("trash", { after: version - 1, limit: 1 }), []);
  const handle = zero.answered(zero.kernel.open(inode, { flags: 0 })).handle;
  for (const index of [0, 1_500, 2_200, CHUNKS - 1]) {
    const answer = zero.kernel.read(inode, { handle, offset: index * CHUNK, size: CHUNK });
    for (let waited = 0; answer.pending && waited < 100; waited++) await zero.pass(500);
    const wanted = content.subarray(index * CHUNK, (index + 1) * CHUNK);
    assert.ok(Buffer.from(answer.value).equals(wanted), `chunk ${index}`);
  }
  zero.answered(zero.kernel.release(inode, { handle }));
});

Deno.test("only a new, empty file takes a version, and only one takes it", async () => {
  const { zero, version } = await largeInTrash();
  await using _ = zero;
  const full = zero.write("full", new Uint8Array(5).fill(1));
  const refused = await zero.port.call("undelete", { version, inode: full });
  assert.ok("refused" in refused);
  const first = zero.write("first", new Uint8Array(0));
  assert.ok("chunks" in await zero.port.call("undelete", { version, inode: first }));
  const second = zero.write("second", new Uint8Array(0));
  assert.ok("refused" in await zero.port.call("undelete", { version, inode: second }));
});

Deno.test("a version that leaves the trash half way leaves an empty file, with nothing behind its end", async () => {
  const { zero, version } = await largeInTrash();
  await using _ = zero;
  const inode = zero.write("back", new Uint8Array(0));
  const answers: unknown[] = [];
  zero.filesystem.trash.undelete({ version, inode }, (result) => answers.push(result));
  assert.deepEqual(answers, [], "it takes more than one slice");
  assert.equal(zero.filesystem.trash.purge({ versions: [version] }), 1);
  zero.turn();
  assert.deepEqual(answers, [{ refused: "it has left the trash meanwhile" }]);
  const rows = zero.database.statement("SELECT count(*) AS n FROM map WHERE inode = ?").get(inode)!;
  assert.equal(rows.n, 0);
  const state = await zero.port.call("residency", { inode });
  assert.deepEqual([state!.size, state!.allocatedBytes], [0, 0]);
});
