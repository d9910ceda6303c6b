import assert from "node:assert/strict";
import { refuseNesting } from "../../../src/daemon/cache_directory.ts";
import { mountHolding, zeroMounts } from "../../../src/daemon/find_mount.ts";
import { parseMountTable } from "../../../src/fuse/mount_table.ts";

Deno.test("cache, mount point and store must not contain each other", () => {
  const good = { cache: "/c", mountpoint: "/m", store: "/s" };
  refuseNesting(good);
  refuseNesting({ ...good, store: undefined });
  refuseNesting({ cache: "/data/cache", mountpoint: "/data/mount", store: "/data/cache2" });
  assert.throws(() => refuseNesting({ ...good, cache: "/m/c" }), /inside the mount point/);
  assert.throws(() => refuseNesting({ ...good, mountpoint: "/c/m" }), /inside the cache/);
  assert.throws(() => refuseNesting({ ...good, cache: "/m" }), /inside the mount point/);
  assert.throws(() => refuseNesting({ ...good, store: "/m/s" }), /contain each other/);
  assert.throws(() => refuseNesting({ ...good, store: "/" }), /contain each other/);
  assert.throws(() => refuseNesting({ ...good, store: "/c/s" }), /contain each other/);
});

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("the daemon of a path is found in the mount table, the innermost mount first", () => {
  const table = parseMountTable(bytes(
    "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n" +
      "40 25 0:50 / /home/u/My\\040Zero rw - fuse.zero zero:/cache\\040one rw\n" +
      "41 40 0:51 / /home/u/My\\040Zero/inner rw - fuse.zero zero:/cache2 rw\n" +
      "42 25 0:52 / /other rw - fuse.sshfs host:/ rw\n",
  ));
  const mounts = zeroMounts(table);
  assert.deepEqual(mounts.map((mount) => mount.cache), ["/cache one", "/cache2"]);
  const cacheOf = (path: string) => mountHolding(bytes(path), mounts)?.mount.cache;
  assert.equal(cacheOf("/home/u/My Zero"), "/cache one");
  assert.equal(cacheOf("/home/u/My Zero/a/../b"), "/cache one");
  assert.equal(cacheOf("/home/u/My Zero/inner/x"), "/cache2");
  assert.equal(cacheOf("/home/u/My Zero2"), undefined);
  assert.equal(cacheOf("/other/x"), undefined);
  const below = mountHolding(bytes("/home/u/My Zero/a/b"), mounts)!;
  assert.deepEqual(below.names, [bytes("a"), bytes("b")]);
});
