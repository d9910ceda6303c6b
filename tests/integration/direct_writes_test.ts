/** Who opens a file for writing only is served beside the kernel's cache. */
import assert from "node:assert/strict";
import { Errno } from "../../src/domain/errno.ts";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { CHUNK, data, lawTest } from "../harness/law_test.ts";

const RDONLY = 0;
const WRONLY = 1;
const RDWR = 2;
const NOATIME = 0o1000000;
const Fopen = { DIRECT: 1, KEEP: 2 };
const CAPABILITY = "security.capability";

const opened = (fixture: FilesystemFixture, inode: number, flags: number) =>
  fixture.answered(fixture.kernel.open(inode, { flags })).value;

lawTest(
  "a first open for writing only goes beside the kernel's cache, others through it",
  (fixture) => {
    const inode = fixture.saved("a", data(1, CHUNK));
    for (const [flags, direct] of [[WRONLY, Fopen.DIRECT], [RDWR, 0], [RDONLY, 0]]) {
      const { handle, flags: got } = opened(fixture, inode, flags);
      assert.equal(got & Fopen.DIRECT, direct);
      fixture.closeFile({ inode, handle });
    }
    const writer = opened(fixture, inode, WRONLY);
    const reader = opened(fixture, inode, RDONLY);
    assert.equal(reader.flags & Fopen.DIRECT, Fopen.DIRECT, "as those that are open");
    fixture.write({ inode, handle: writer.handle }, 3, "new");
    assert.deepEqual(
      fixture.read({ inode, handle: reader.handle }, 3, 3),
      new TextEncoder().encode("new"),
    );
  },
);

lawTest(
  "a write beside the cache takes file capabilities away, from privileged callers, too",
  (fixture) => {
    const { kernel } = fixture;
    const inode = fixture.saved("a", data(1, CHUNK));
    const { handle } = opened(fixture, inode, WRONLY);
    for (let round = 0; round < 2; round++) {
      fixture.answered(kernel.setxattr(inode, { name: CAPABILITY, value: data(2, 20) }));
      fixture.write({ inode, handle }, round, "x");
      const answer = kernel.getxattr(inode, { name: CAPABILITY });
      assert.equal(!answer.pending && answer.errno, Errno.ENODATA);
    }
  },
);

lawTest("pages that a reader may have fetched beside a direct writer are not kept", (fixture) => {
  const inode = fixture.saved("a", data(1, CHUNK));
  const alone = opened(fixture, inode, WRONLY);
  fixture.closeFile({ inode, handle: alone.handle });
  const kept = opened(fixture, inode, RDONLY | NOATIME);
  assert.equal(kept.flags & Fopen.KEEP, Fopen.KEEP, "what a writer alone leaves is right");
  fixture.closeFile({ inode, handle: kept.handle });
  const writer = opened(fixture, inode, WRONLY);
  const reader = opened(fixture, inode, RDONLY);
  const second = opened(fixture, inode, WRONLY);
  assert.equal(second.flags & Fopen.KEEP, 0);
  for (const { handle } of [writer, reader, second]) fixture.closeFile({ inode, handle });
  assert.equal(opened(fixture, inode, RDONLY | NOATIME).flags & Fopen.KEEP, 0);
});
