/** A second program, which has only docs/FORMAT.md in common with Zero, restores what Zero put into a bucket. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { type Descriptor, encodeDescriptor, sealDescriptor } from "../../src/format/descriptor.ts";
import { DESCRIPTOR_KEY, wrappedKeyKey } from "../../src/format/keys.ts";
import { Secrets } from "../../src/format/secrets.ts";
import { LEAST_COST, wrapKey } from "../../src/format/wrapped_key.ts";
import { TreeReader } from "../../src/metadata/tree_reader.ts";
import { DirectoryObjectStore } from "../../src/object_store/directory_object_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { fromHex, systemRandom } from "../../src/runtime/random.ts";
import { CHUNK, FILE_SYSTEM } from "../harness/care_fixture.ts";
import { recoverFrom, scratch, ShippingFixture, text } from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const bytes = (value: string) => new TextEncoder().encode(value);
const tools = fileURLToPath(new URL("../../tools/", import.meta.url));
const harness = fileURLToPath(new URL("../harness/", import.meta.url));

async function run(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** What tree.py says of a folder, by name. */
async function described(root: string): Promise<Map<string, Record<string, unknown>>> {
  const lines = await run("python3", [`${harness}tree.py`, "describe", root, "content", "times"]);
  const entries = lines.trim().split("\n").map((line) => {
    const entry = JSON.parse(line);
    // Seconds and nanoseconds do not fit into one number here.
    entry.mtime = Math.round(entry.mtime / 1e6);
    if (Deno.uid() !== 0) delete entry.owner;
    return [entry.name, entry] as const;
  });
  return new Map(entries);
}

/** The same of a file system, in the same words. Regular files keep their content to be compared. */
async function expected(fixture: ShippingFixture): Promise<Map<string, Record<string, unknown>>> {
  const tree = new TreeReader(fixture.database);
  const found = new Map<string, Record<string, unknown>>();
  for (const entry of [...tree.walk(tree.at([])!)]) {
    if (entry.names.length === 0) continue;
    const name = entry.names.map((each) => `/${text(each)}`).join("");
    const type = entry.mode & 0o170000;
    const attributes = tree.xattrs(entry.inode)
      .map(({ name, value }) => [text(name), new Uint8Array(value).toHex()]);
    found.set(name, {
      name,
      mode: `0o${entry.mode.toString(8)}`,
      ...(Deno.uid() === 0 ? { owner: [entry.uid, entry.gid] } : {}),
      links: entry.nlink,
      mtime: Math.round(entry.mtimeS * 1000 + entry.mtimeNs / 1e6),
      ...(type === 0o040000 ? {} : { size: entry.size }),
      ...(type === 0o120000
        ? { target: text(entry.target!) }
        : { xattrs: Object.fromEntries(attributes.sort()) }),
      ...(type === 0o100000
        ? {
          sha256: createHash("sha256").update(await fixture.read(entry.inode)).digest("hex"),
        }
        : {}),
    });
  }
  return found;
}

const descriptor: Descriptor = {
  fileSystem: FILE_SYSTEM,
  chunkSize: CHUNK,
  features: [],
  created: "2026-01-01T00:00:00.000Z",
};

/** Puts all objects into a folder: as they are named, or as a directory store keeps them. */
async function dump(
  fixture: ShippingFixture,
  how: "plain" | "store",
  about = descriptor,
): Promise<string> {
  const { bucket } = fixture;
  const folder = scratch();
  const store = how === "plain" ? undefined : await DirectoryObjectStore.open(folder, {
    clock: systemClock,
    random: systemRandom,
    create: true,
  });
  const objects = new Map([[DESCRIPTOR_KEY, encodeDescriptor(about)]]);
  for await (const { key } of bucket.list("")) objects.set(key, await bucket.get(key));
  for (const [key, body] of objects) {
    if (store !== undefined) {
      await store.put(key, body);
      continue;
    }
    Deno.mkdirSync(dirname(`${folder}/${key}`), { recursive: true });
    Deno.writeFileSync(`${folder}/${key}`, body);
  }
  store?.close();
  return folder;
}

/** Runs the second program. Answers where it put the tree, and what it said on the side. */
async function restore(
  folder: string,
  ...more: string[]
): Promise<{ target: string; complaints: string }> {
  const target = `${scratch()}/restored`;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${tools}restore_from_bucket.ts`, folder, target, ...more],
  }).output();
  const complaints = new TextDecoder().decode(stderr);
  assert(success, complaints);
  return { target, complaints };
}

async function assertRestores(fixture: ShippingFixture, how: "plain" | "store"): Promise<void> {
  const { target } = await restore(await dump(fixture, how));
  assert.deepEqual(await described(target), await expected(fixture));
}

/** A tree with everything that a file system must carry. */
function makeTree(fixture: ShippingFixture, random: SeededRandom): void {
  const { kernel } = fixture;
  const directory = fixture.answered(kernel.mkdir(1, { name: "dir", mode: 0o2750 })).inode;
  const deep = fixture.answered(kernel.mkdir(directory, { name: "deep" })).inode;
  for (let i = 0; i < 40; i++) fixture.write(`small ${i}`, random.bytes(i * 97), deep);
  const small = fixture.write("small", bytes("hello"));
  fixture.write("large", random.bytes(9 * CHUNK + 77));
  fixture.write("text", bytes("the same words again ".repeat(9_000)));
  fixture.write("empty", new Uint8Array());
  const sparse = new Uint8Array(12 * CHUNK);
  sparse.set(random.bytes(CHUNK), 5 * CHUNK);
  sparse.set(random.bytes(100), 8 * CHUNK);
  fixture.write("sparse", sparse);
  const grown = fixture.write("grown", random.bytes(CHUNK + 5));
  fixture.answered(kernel.setattr(grown, { size: 4 * CHUNK + 1 }));
  kernel.link(1, { name: "another name", target: small });
  kernel.link(deep, { name: "a third", target: small });
  kernel.symlink(directory, { name: "link", target: "../small" });
  kernel.mknod(1, { name: "fifo", mode: 0o010600 });
  for (const name of ["with space", "-rf", "line\nbreak", "*", ".hidden", "ü", "n".repeat(255)]) {
    fixture.write(name, bytes(name), directory);
  }
  kernel.mknod(directory, { name: new Uint8Array([0xff, 0xfe, 0x80]), mode: 0o100640 });
  kernel.setxattr(small, { name: "user.mark", value: bytes("red") });
  kernel.setxattr(directory, { name: "user.large", value: random.bytes(3000) });
  kernel.setattr(small, { mode: 0o100640 });
}

Deno.test("a second program restores a tree from a bucket by its documented format", async () => {
  await using fixture = new ShippingFixture();
  makeTree(fixture, new SeededRandom(3));
  await fixture.ship();
  await assertRestores(fixture, "plain");
});

Deno.test("so it does after snapshots, collections, a recovery and a stale writer", async () => {
  await using fixture = new ShippingFixture({ snapshotBytes: 3_000 });
  const { clock, bucket, kernel } = fixture;
  const random = new SeededRandom(4);
  makeTree(fixture, random);
  let superseded = 0;
  for (let day = 0; day < 12; day++) {
    fixture.write(`of day ${day % 5}`, random.bytes(random.below(4 * CHUNK)));
    fixture.write("large", random.bytes(9 * CHUNK));
    if (day % 4 === 3) fixture.unlink(`of day ${day % 5}`);
    fixture.answered(
      kernel.rename(1, {
        name: day % 2 ? "moved" : "dir",
        newParent: 1,
        newName: day % 2 ? "dir" : "moved",
      }),
    );
    await fixture.ship();
    await fixture.pass(5_000);
    fixture.days(2);
    superseded += (await fixture.collect()).deleted.superseded.objects;
    fixture.turn();
  }
  await fixture.ship();
  assert(superseded > 0, "the first objects of the chain are gone");
  await assertRestores(fixture, "store");
  // Another machine takes over; what the first one adds behind its claim does not count.
  const { directory } = await recoverFrom(bucket, fixture);
  await using second = new ShippingFixture({ clock, bucket, cache: directory, takeOver: true });
  await second.lease;
  fixture.write("too late", bytes("x"));
  await fixture.ship();
  await assertRestores(second, "plain");
  second.write("by the second", random.bytes(3 * CHUNK));
  await second.ship();
  await assertRestores(second, "plain");
});

Deno.test("where the newest content is not in the bucket, it restores the last saved version", async () => {
  await using fixture = new ShippingFixture();
  const { kernel } = fixture;
  const [first, other] = [bytes("first version"), bytes("to be replaced")];
  fixture.write("kept", first);
  fixture.write("replaced", other);
  await fixture.ship();
  fixture.write("kept", bytes("the second version, longer"));
  fixture.write("temporary", bytes("new content by rename"));
  fixture.answered(kernel.rename(1, { name: "temporary", newParent: 1, newName: "replaced" }));
  fixture.write("never", bytes("seen"));
  fixture.engine.pauseUploads();
  await fixture.shipMetadata();
  const { target, complaints } = await restore(await dump(fixture, "plain"));
  assert.deepEqual(Deno.readFileSync(`${target}/kept`), first);
  assert.deepEqual(Deno.readFileSync(`${target}/replaced`), other);
  assert.deepEqual([...Deno.readDirSync(target)].map(({ name }) => name).sort(), [
    "kept",
    "replaced",
  ]);
  assert.match(complaints, /nothing of .*\/never is in the bucket/);
});

Deno.test("damage is refused, not restored", async () => {
  await using fixture = new ShippingFixture();
  fixture.write("file", new SeededRandom(1).bytes(3 * CHUNK));
  await fixture.ship();
  for (const prefix of ["packs", "metadata"]) {
    const folder = await dump(fixture, "plain");
    const found = await run("find", [`${folder}/${prefix}`, "-type", "f"]);
    for (const path of found.trim().split("\n")) {
      const body = Deno.readFileSync(path);
      body[Math.floor(body.length / 2)] ^= 1;
      Deno.writeFileSync(path, body);
    }
    await assert.rejects(restore(folder), /is damaged/);
  }
});

Deno.test("an encrypted one comes back with its passphrase, and with no other", async () => {
  const random = new SeededRandom(8);
  const material = { fileSystem: fromHex(FILE_SYSTEM), master: random.bytes(32) };
  const secrets = new Secrets(material);
  await using fixture = new ShippingFixture({ secrets, snapshotBytes: 3_000 });
  makeTree(fixture, random);
  await fixture.ship();
  await fixture.pass(5_000);
  fixture.write("behind the snapshot", random.bytes(2 * CHUNK));
  await fixture.ship();
  const passphrase = bytes("correct horse");
  const [salt, nonce, cost] = [random.bytes(32), random.bytes(12), LEAST_COST];
  await fixture.bucket.put(
    wrappedKeyKey("ab".repeat(16)),
    wrapKey(material, { passphrase, salt, nonce, cost }),
  );
  const sealed = sealDescriptor({ ...descriptor, features: ["encryption"] }, secrets);
  const folder = await dump(fixture, "plain", sealed);
  const file = `${scratch()}/passphrase`;
  Deno.writeTextFileSync(file, "correct horse\n");
  const { target } = await restore(folder, file);
  assert.deepEqual(await described(target), await expected(fixture));
  Deno.writeTextFileSync(file, "wrong horse\n");
  await assert.rejects(restore(folder, file), /the passphrase opens no key/);
  await assert.rejects(restore(folder), /it is encrypted/);
  await assert.rejects(restore(await dump(fixture, "plain", { ...sealed, chunkSize: 4096 }), file));
});
