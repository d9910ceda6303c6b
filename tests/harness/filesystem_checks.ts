/** What must hold of the file system's memory and rows, asserted from outside. */
import assert from "node:assert/strict";
import type { FilesystemFixture } from "./filesystem_fixture.ts";

const equal = (a: Uint8Array, b: Uint8Array) =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Asserts what must hold of memory and rows at any time. */
export function assertIntact(fixture: FilesystemFixture): void {
  assert.deepEqual(fixture.defects, []);
  const query = (sql: string) =>
    fixture.database.statement(sql).all().map((row) => Object.assign({}, row));
  assert.deepEqual(query("PRAGMA main.integrity_check"), [{ integrity_check: "ok" }]);
  assert.deepEqual(
    query(`SELECT total.*, f, a, r, l, d FROM total JOIN (SELECT count(*) AS f,
          sum(allocated) AS a, sum(resident) AS r, sum(local) AS l, sum(dirty) AS d FROM inode)
        WHERE files <> f OR allocated <> a OR resident <> r OR local <> l OR dirty_files <> d`),
    [],
    "totals differ from the sums over inodes",
  );
  const charge = "((m.length + 4095) / 4096 * 4096)";
  assert.deepEqual(
    query(`SELECT i.id, i.allocated, i.resident, i.local, s.* FROM inode i JOIN (
          SELECT i.id AS inode, coalesce(sum(${charge}), 0) AS a,
            coalesce(sum(${charge} * m.resident), 0) AS r,
            coalesce(sum(${charge} * (m.chunk IS NULL AND m.inode IS NOT NULL)), 0) AS l
          FROM inode i LEFT JOIN map m ON m.inode = i.id GROUP BY i.id) s ON s.inode = i.id
        WHERE i.allocated <> a OR i.resident <> r OR i.local <> l`),
    [],
    "an inode's sums differ from the charges of its rows",
  );
  assert.deepEqual(
    query(`SELECT c.id, c.refs FROM chunk c WHERE c.refs <>
          (SELECT count(*) FROM map m WHERE m.chunk = c.id) +
          (SELECT count(*) FROM version_chunk v WHERE v.chunk = c.id)`),
    [],
    "references differ from their counts",
  );
  assertMemory(fixture);
}

/**
 * Asserts law 1: what the rows call clean and resident is what the bucket holds. Of files that may be
 * stored into unseen rows claim nothing.
 */
export function assertCleanIsSaved(fixture: FilesystemFixture): void {
  const rows = fixture.database.statement(
    `SELECT m.inode, m.idx, m.length, i.incarnation, hex(c.hash) AS hash FROM map m
        JOIN chunk c ON c.id = m.chunk JOIN inode i ON i.id = m.inode WHERE m.resident = 1
        AND (i.dead_from IS NULL OR m.idx < i.dead_from)
        AND m.inode NOT IN (SELECT inode FROM mapped)`,
  ).all() as { inode: number; idx: number; length: number; incarnation: number; hash: string }[];
  for (const { inode, idx, length, incarnation, hash } of rows) {
    const file = fixture.core.files.peek(inode);
    if (file?.pendingRows.has(idx)) continue;
    const bytes = new Uint8Array(length);
    const content = fixture.store.open(inode, file?.inode.incarnation ?? incarnation, false);
    if (content !== undefined) fixture.store.read(content, bytes, idx * fixture.core.chunkSize);
    const saved = fixture.engine.bucket.get(hash.toLowerCase())!.subarray(0, length);
    assert(equal(bytes, saved), `chunk ${idx} of inode ${inode} is called clean, and is not`);
  }
}

/** Asserts that the saved version of a file is these bytes. */
export function assertSaved(
  { database, core, engine }: FilesystemFixture,
  { inode, bytes }: { inode: number; bytes: Uint8Array },
): void {
  const version = database.statement("SELECT id, size FROM version WHERE inode = ? AND kind = 1")
    .get(inode) as { id: number; size: number } | undefined;
  assert(version !== undefined, `nothing of inode ${inode} is saved`);
  const saved = new Uint8Array(version.size);
  const rows = database.statement(
    `SELECT v.idx, v.length, hex(c.hash) AS hash FROM version_chunk v JOIN chunk c ON c.id = v.chunk
     WHERE v.version = ?`,
  ).all(version.id) as { idx: number; length: number; hash: string }[];
  for (const { idx, length, hash } of rows) {
    saved.set(
      engine.bucket.get(hash.toLowerCase())!.subarray(0, length),
      idx * core.chunkSize,
    );
  }
  assert.equal(saved.length, bytes.length, `the saved version of inode ${inode} has another size`);
  assert(equal(saved, bytes), `the saved version of inode ${inode} is a mixture`);
}

function assertMemory({ core }: FilesystemFixture): void {
  let resident = (core.database.statement("SELECT resident FROM total").get() as {
    resident: number;
  }).resident;
  let reserved = 0;
  for (const file of core.files.values()) {
    const row = core.database.statement("SELECT resident FROM inode WHERE id = ?")
      .get(file.inode.id) as { resident: number };
    resident += file.inode.resident - row.resident;
    for (const recall of file.recalls.values()) reserved += recall.reserved;
    for (const index of file.volatile) {
      reserved += Math.ceil((file.row(index)?.length ?? 0) / 4096) * 4096;
    }
    for (const field of ["allocated", "resident", "local"] as const) {
      assert(file.inode[field] >= 0, `${field} of inode ${file.inode.id} is negative`);
    }
  }
  assert.equal(core.space.resident, resident, "the accountant's resident bytes have drifted");
  assert.equal(core.space.reserved, reserved, "the accountant's reserved bytes have drifted");
  assert(core.space.leaving >= 0, "more has left than was there");
}

/** Asserts that nothing is remembered of files that nobody uses. Call it at rest. */
export function assertAtRest(fixture: FilesystemFixture): void {
  const remembered = [...fixture.core.files.values()].filter((file) => file.handles === 0);
  assert.deepEqual(remembered.map((file) => file.inode.id), [], "FileStates are left over");
  assert.equal(fixture.core.space.reserved, 0);
  assert.equal(fixture.core.space.leaving, 0);
  assert.equal(fixture.core.lot.size, 0);
}
