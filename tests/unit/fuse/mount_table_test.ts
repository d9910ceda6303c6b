import assert from "node:assert/strict";
import { escapeOption } from "../../../src/fuse/fusermount.ts";
import { mountAt, parseMountTable, readMountTable } from "../../../src/fuse/mount_table.ts";

const table = parseMountTable(
  new Uint8Array([
    ...new TextEncoder().encode(
      `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
29 22 0:39 / /mnt/with\\040space\\134and\\011tab rw,nosuid - fuse.zero zero,a\\040b rw,user_id=0
30 22 0:40 / /mnt/twice rw - tmpfs tmpfs rw
31 30 0:41 / /mnt/twice rw shared:3 master:4 - fuse.zero - rw
not a line of mountinfo
32 22 0:42 / /mnt/`,
    ),
    0xff,
    ...new TextEncoder().encode(" rw - fuse.zero bytes rw\n"),
  ]),
);

Deno.test("mountinfo is parsed with its optional fields, escapes and bytes", () => {
  assert.equal(table.length, 5);
  const spaced = mountAt("/mnt/with space\\and\ttab", table)!;
  assert.deepEqual([spaced.major, spaced.minor, spaced.type], [0, 39, "fuse.zero"]);
  assert.equal(new TextDecoder().decode(spaced.source), "zero,a b");
  assert.equal(mountAt(new Uint8Array([47, 109, 110, 116, 47, 0xff]), table)!.minor, 42);
});

Deno.test("of several mounts at one place the uppermost counts", () => {
  assert.equal(mountAt("/mnt/twice", table)!.minor, 41);
  assert.equal(mountAt("/mnt", table), undefined);
  assert.equal(mountAt("/", table)!.type, "ext4");
});

Deno.test("this machine's own mounts can be read", () => {
  assert.ok(readMountTable().some((entry) => new TextDecoder().decode(entry.mountPoint) === "/"));
});

Deno.test("option values for fusermount3 cannot become options", () => {
  assert.equal(escapeOption("zero"), "zero");
  assert.equal(escapeOption("a,allow_other"), "a\\,allow_other");
  assert.equal(escapeOption("back\\slash"), "back\\\\slash");
});
