/** The change log: what is told to the bucket, and what is not worth it. */
import assert from "node:assert/strict";
import { RecordTable } from "../../src/domain/metadata_rows.ts";
import { VersionKind } from "../../src/metadata/schema.ts";
import { ChunkTable } from "../../src/metadata/chunk_table.ts";
import { VersionTable } from "../../src/metadata/version_table.ts";
import { bytes, NamespaceFixture } from "../harness/namespace_fixture.ts";

function logged(fixture: NamespaceFixture): string[] {
  const names = Object.entries(RecordTable);
  const rows = fixture.database.statement("SELECT tbl, key FROM changes ORDER BY tbl, key").all();
  return rows.map(({ tbl, key }) => `${names.find(([, n]) => n === tbl)![0]} ${key}`);
}

function forget(fixture: NamespaceFixture): void {
  fixture.database.statement("DELETE FROM changes").run();
}

function withFixture(body: (fixture: NamespaceFixture) => void): () => void {
  return () => {
    const fixture = new NamespaceFixture();
    try {
      body(fixture);
    } finally {
      fixture.close();
    }
  };
}

Deno.test(
  "a new file system has its root to tell; a new file is its inode, its name and its directory",
  withFixture((fixture) => {
    assert.deepEqual(logged(fixture), ["INODE 1"]);
    forget(fixture);
    fixture.tick();
    const file = fixture.create(1, "file");
    assert.deepEqual(logged(fixture), ["INODE 1", `INODE ${file}`, "DENTRY 3"]);
  }),
);

Deno.test(
  "a key is in the log once, however often it changes, and a rename of a full directory is four keys",
  withFixture((fixture) => {
    const directory = fixture.mkdir(1, "d");
    for (let i = 0; i < 50; i++) fixture.create(directory, `f${i}`);
    forget(fixture);
    for (const [from, to] of [["d", "e"], ["e", "f"], ["f", "g"]]) {
      fixture.tick();
      fixture.rename([1, from], [1, to]);
    }
    assert.deepEqual(logged(fixture), ["INODE 1", `INODE ${directory}`, "DENTRY 3"]);
  }),
);

Deno.test(
  "access times and residency are not logged, other attributes and the pin are",
  withFixture((fixture) => {
    const file = fixture.create(1, "file");
    const inode = fixture.inodes.require(file);
    forget(fixture);
    inode.atimeS += 1000;
    fixture.inodes.write(inode);
    fixture.database.transaction(() => {
      inode.allocated = inode.resident = 4096;
      inode.incarnation++;
      fixture.inodes.writeContent(inode);
    });
    assert.deepEqual(logged(fixture), []);
    for (
      const change of [() => inode.mode ^= 1, () => inode.pinned = true, () => inode.mtimeNs++]
    ) {
      change();
      fixture.inodes.write(inode);
      fixture.inodes.writeContent(inode);
      assert.deepEqual(logged(fixture), [`INODE ${file}`]);
      forget(fixture);
    }
  }),
);

Deno.test(
  "attributes, extended attributes and what is deleted are logged",
  withFixture((fixture) => {
    const file = fixture.create(1, "file");
    forget(fixture);
    const set = { ...fixture.header(file), name: bytes("user.a"), flags: 0, killSetgid: false };
    fixture.tick();
    fixture.namespace.setxattr({ ...set, value: bytes("1") });
    assert.deepEqual(logged(fixture), [`INODE ${file}`, "XATTR 1"]);
    forget(fixture);
    fixture.tick();
    fixture.unlink(1, "file");
    fixture.namespace.forget(file, 1);
    assert.deepEqual(logged(fixture), ["INODE 1", `INODE ${file}`, "DENTRY 3", "XATTR 1"]);
  }),
);

Deno.test(
  "a version is logged when it is published, with its list once; a pack with its chunks once",
  withFixture((fixture) => {
    const { database } = fixture;
    const versions = new VersionTable(database);
    const chunks = new ChunkTable(database);
    const head = {
      inode: 9,
      generation: 1,
      size: 1,
      mode: 0,
      uid: 0,
      gid: 0,
      mtimeS: 0,
      mtimeNs: 0,
    };
    forget(fixture);
    const version = versions.begin({ ...head, savedMs: 1 });
    assert.deepEqual(logged(fixture), []);
    versions.publish(version, { inode: 9, nowMs: 2 });
    assert.deepEqual(logged(fixture), [`VERSION ${version}`, `VERSION_LIST ${version}`]);
    forget(fixture);
    database.statement(`UPDATE version SET kind = ${VersionKind.TRASH}`).run();
    assert.deepEqual(logged(fixture), [`VERSION ${version}`]);
    forget(fixture);
    database.statement(`UPDATE version SET kind = ${VersionKind.GARBAGE}`).run();
    versions.sweepSlice(10);
    assert.deepEqual(logged(fixture), [`VERSION ${version}`]);
    forget(fixture);
    const name = new Uint8Array(16);
    const chunk = { hash: new Uint8Array(32), offset: 48, stored: 1, length: 1, codec: 0 };
    const pack = { name, versionId: "v", bytes: 200, verified: false, chunks: [chunk, chunk] };
    const [first] = chunks.addPack(pack, 0);
    assert.deepEqual(logged(fixture), ["PACK 1", "PACK_LIST 1"]);
    forget(fixture);
    chunks.setVerified(1);
    chunks.setVerified(1);
    assert.deepEqual(logged(fixture), ["PACK 1"]);
    forget(fixture);
    chunks.markLost(first);
    assert.deepEqual(logged(fixture), ["PACK_LIST 1"]);
  }),
);
