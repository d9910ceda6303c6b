import assert from "node:assert/strict";
import { Session } from "../../../src/fuse/session.ts";
import { KernelSimulator } from "../../harness/kernel_simulator.ts";
import { MemoryFilesystem } from "../../harness/memory_filesystem.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function memory() {
  const kernel = new KernelSimulator();
  const filesystem = new MemoryFilesystem(() => ({ seconds: 1_700_000_000, nanoseconds: 5 }));
  const defects: unknown[] = [];
  const session = new Session(kernel.device, filesystem, {
    onDefect: (error) => defects.push(error),
  });
  kernel.attach(session);
  kernel.init();
  return { kernel, filesystem, defects };
}

Deno.test("a file lives through the simulated kernel from create to the last forget", () => {
  const { kernel, filesystem, defects } = memory();
  kernel.caller = { uid: 1000, gid: 100, pid: 7 };
  const { entry, open } = kernel.create(1, { name: "f", mode: 0o100666, umask: 0o22 }).value;
  const { handle } = open;
  const { inode } = entry;
  assert.deepEqual([entry.attributes.mode, entry.attributes.uid], [0o100644, 1000]);
  assert.equal(kernel.write(inode, { handle, offset: 3, data: bytes("hello") }).value, 5);
  assert.deepEqual(
    kernel.read(inode, { handle, offset: 0, size: 100 }).value,
    bytes("\0\0\0hello"),
  );
  assert.equal(kernel.getattr(inode).value.attributes.size, 8);
  assert.equal(kernel.link(1, { name: "g", target: inode }).value.attributes.nlink, 2);
  assert.equal(kernel.rename(1, { name: "g", newParent: 1, newName: "f" }).errno, 0);
  assert.equal(kernel.rename(1, { name: "g", newParent: 1, newName: "h", flags: 1 }).errno, 0);
  assert.equal(kernel.unlink(1, "f").errno, 0);
  assert.equal(kernel.unlink(1, "h").errno, 0);
  assert.equal(kernel.lookup(1, "f").value.inode, 0);
  assert.equal(kernel.release(inode, { handle }).errno, 0);
  assert.equal(kernel.lookups.get(inode), 2);
  kernel.forget(inode, 2);
  assert.equal(filesystem.nodes.has(inode), false);
  assert.deepEqual([defects, [...kernel.lookups]], [[], []]);
});

for (const plus of [false, true]) {
  Deno.test(`5,000 names come in pages, each once, by ${plus ? "READDIRPLUS" : "READDIR"}`, () => {
    const { kernel, filesystem } = memory();
    for (let i = 0; i < 5000; i++) kernel.mkdir(1, { name: `name-${i}` });
    kernel.batchForget([...kernel.lookups]);
    const seen: string[] = [];
    for (let cookie = 0;;) {
      const page = plus ? kernel.readdirplus(1, { cookie }) : kernel.readdir(1, { cookie });
      if (page.value.length === 0) break;
      seen.push(...page.value.map((entry) => entry.name));
      cookie = page.value.at(-1)!.cookie;
    }
    assert.equal(seen.length, 5002);
    assert.equal(new Set(seen).size, 5002);
    const counted = [...filesystem.nodes.values()].reduce((sum, node) => sum + node.lookups, 0);
    assert.equal(counted, plus ? 5000 : 0);
    assert.equal(kernel.lookups.size, plus ? 5000 : 0);
  });
}
