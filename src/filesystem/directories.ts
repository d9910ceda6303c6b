/** Directories: made, removed, read. A reader keeps its place by cookie, so nothing is remembered per reader. */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type {
  DirectoryFiller,
  Entry,
  MkdirRequest,
  ReaddirRequest,
  UnlinkRequest,
} from "../fuse/operations.ts";
import { FileType, type Inode, isDirectory } from "./inode.ts";
import type { Lister } from "./listers.ts";
import { inherit } from "./inheritance.ts";
import { DIRECTORY_BYTES, entryType, type NamespaceContext } from "./namespace_context.ts";

const DOT = new Uint8Array([0x2e]);
const DOT_DOT = new Uint8Array([0x2e, 0x2e]);
const DOT_COOKIE = 1;
const DOT_DOT_COOKIE = 2;
/** Names per query, at most; as many with attributes are a millisecond, which is long for a request. */
const SLICE = 1024;
const SLICE_PLUS = 204;

export function mkdir(context: NamespaceContext, request: MkdirRequest): Entry {
  context.assertWritable();
  const parent = context.directory(request.inode);
  if (context.dentries.find(parent.id, request.name) !== undefined) throw new FsError(Errno.EEXIST);
  const { mode, umask } = request;
  const { owned, complete } = inherit(context, parent, {
    request,
    type: FileType.DIRECTORY,
    mode,
    umask,
  });
  const time = context.now();
  const inode = context.database.transaction(() => {
    const created = context.inodes.insert({ ...owned, nlink: 2, size: DIRECTORY_BYTES, time });
    context.xattrs.isBare(created.id);
    complete(created);
    context.dentries.insert(parent.id, request.name, created.id);
    parent.nlink++;
    context.namesChanged(parent, time);
    return created;
  });
  return context.entry(inode);
}

export function rmdir(context: NamespaceContext, request: UnlinkRequest): void {
  context.assertWritable();
  const parent = context.directory(request.inode);
  const dentry = context.dentries.find(parent.id, request.name);
  if (dentry === undefined) throw new FsError(Errno.ENOENT);
  const inode = context.inodes.require(dentry.inode);
  assertEmptyDirectory(context, inode);
  const time = context.now();
  context.database.transaction(() => {
    context.dentries.remove(parent.id, request.name, dentry.id);
    parent.nlink--;
    context.namesChanged(parent, time);
    removeDirectory(context, inode);
    context.attributesChanged(inode, time);
  });
  context.reap(inode);
}

/** What rmdir, and rename over a directory, ask of the directory that goes. */
export function assertEmptyDirectory(context: NamespaceContext, inode: Inode): void {
  if (!isDirectory(inode)) throw new FsError(Errno.ENOTDIR);
  if (!context.dentries.isEmpty(inode.id)) throw new FsError(Errno.ENOTEMPTY);
}

/** In transaction: an empty directory has lost its name. The caller stamps and writes it. */
export function removeDirectory(context: NamespaceContext, inode: Inode): void {
  inode.nlink = 0;
  context.orphan(inode);
}

/**
 * Names after `request.cookie`, in the order of their cookies: `.` and `..` (which never count as
 * lookups), then by age. A name that is there all the time is delivered exactly once, whatever
 * others add, remove or replace meanwhile.
 */
export function readdir(
  context: NamespaceContext,
  request: ReaddirRequest,
  filler: DirectoryFiller,
): void {
  const directory = context.directory(request.inode);
  context.accessed(directory);
  const type = entryType(FileType.DIRECTORY);
  if (request.cookie < DOT_COOKIE && !filler.add(DOT, directory.id, type, DOT_COOKIE)) return;
  if (request.cookie < DOT_DOT_COOKIE) {
    const parent = context.dentries.parentOf(directory.id) ?? directory.id;
    if (!filler.add(DOT_DOT, parent, type, DOT_DOT_COOKIE)) return;
  }
  const after = Math.max(request.cookie, DOT_DOT_COOKIE);
  if (!filler.plus) return fillNames(context, directory.id, { filler, after });
  const lister = context.listers.reads(request.pid, {
    directory: directory.id,
    fromBeginning: request.cookie === 0,
  });
  const fill = lister.looks ? fillEntries : fillNames;
  fill(context, directory.id, { filler, after, lister });
}

function fillNames(
  context: NamespaceContext,
  directory: number,
  { filler, after, lister }: { filler: DirectoryFiller; after: number; lister?: Lister },
): void {
  for (let cookie = after;;) {
    const limit = Math.min(SLICE, filler.room);
    const rows = context.dentries.list(directory, { after: cookie, limit });
    for (const row of rows) {
      if (!filler.add(row.name, row.inode, entryType(row.mode), row.id)) return;
      if (lister !== undefined && !isDirectory(row) && !context.isKnown(row.inode)) {
        lister.heldBack();
      }
      cookie = row.id;
    }
    if (rows.length < limit) return;
  }
}

/** One slice. Of what the kernel knows, it is told nothing again. */
function fillEntries(
  context: NamespaceContext,
  directory: number,
  { filler, after, lister }: { filler: DirectoryFiller; after: number; lister: Lister },
): void {
  const limit = Math.min(SLICE_PLUS, filler.room);
  for (const row of context.dentries.listEntries(directory, { after, limit })) {
    const { id, name, attributes } = row;
    const [inode, mode] = attributes;
    const known = context.isKnown(inode);
    const bare = known || !isDirectory({ mode }) && lister.holdsBack();
    const taken = bare
      ? filler.add(name, inode, entryType(mode), id)
      : filler.addEntry(name, context.glance(attributes), id);
    if (!taken) return;
    if (!bare) context.lookups.add(inode);
    else if (!known) lister.heldBack();
  }
}
