/**
 * Walks over dirty files, page by page, in the order of their last change. Promises to end however fast
 * programs go on writing: what is meant is what had changed when the walk began. (Only the clock tells,
 * and it may have been set back since a file was written: files of the future come last.)
 */
import type { FilesystemPort } from "../filesystem/port.ts";
import type { DirtyFile } from "../filesystem/protocol.ts";
import type { Clock } from "../runtime/clock.ts";
import { pages } from "./pages.ts";
import { ENGINE_LIMITS } from "./settings.ts";

interface Place {
  changedMs: number;
  inode: number;
}

const placeOf = ({ changedMs, inode }: Place) => [changedMs, inode];

export async function* dirtyPages(
  { filesystem, clock }: { filesystem: FilesystemPort; clock: Clock },
): AsyncGenerator<DirtyFile[]> {
  const limit = ENGINE_LIMITS.DIRTY_PAGE_FILES;
  const walk = (range: { changedBefore: number; future: boolean }) =>
    pages("dirty files", placeOf, async (after: Place | undefined) => {
      const files = await filesystem.call("dirtyFiles", { ...range, limit, after });
      const last = files.length < limit ? undefined : files[files.length - 1];
      const next = last && { changedMs: last.changedMs, inode: last.inode };
      return { files, next };
    });
  for await (const page of walk({ changedBefore: clock.wallMs(), future: false })) yield page.files;
  // What is written meanwhile is never of the future, so these come to an end, too.
  const rest = walk({ changedBefore: Number.MAX_SAFE_INTEGER, future: true });
  for await (const page of rest) yield page.files;
}

/** Whether any file is dirty, whatever its time says. */
export async function anythingDirty(
  { filesystem }: { filesystem: FilesystemPort },
): Promise<boolean> {
  const changedBefore = Number.MAX_SAFE_INTEGER;
  return (await filesystem.call("dirtyFiles", { changedBefore, limit: 1 })).length > 0;
}
