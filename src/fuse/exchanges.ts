/**
 * Which request asks what of a file system: for each opcode how to decode it, which method answers it,
 * and how the answer is encoded. A table and nothing else; the session owns the state around it. An
 * opcode that is not here is answered ENOSYS, which the kernel remembers and does not ask again
 * (ACCESS, BMAP, POLL, STATX, locks, DAX mappings).
 */
import { Errno } from "../domain/errno.ts";
import { FsError, invariant } from "../domain/errors.ts";
import { Opcode } from "./abi.ts";
import type { ReplyDirectoryFiller } from "./directory_filler.ts";
import type { Negotiated } from "./negotiation.ts";
import {
  type FilesystemOperations,
  PARKED,
  type Parked,
  type ReaddirRequest,
  RenameFlag,
  type RenameRequest,
  type RequestHeader,
} from "./operations.ts";
import type { ReplyEncoder } from "./reply_encoder.ts";
import type { RequestDecoder, Sized } from "./request_decoder.ts";

/** What answering a request needs. */
export interface Context {
  readonly operations: FilesystemOperations;
  readonly reply: ReplyEncoder;
  readonly filler: ReplyDirectoryFiller;
  readonly negotiated: Negotiated;
}

/**
 * One kind of request. `answer` puts the reply's body into `context.reply`, throws FsError, or parks. Or
 * it returns an errno, where failing is so common that throwing would cost more than all the rest.
 */
export interface Exchange<Request extends RequestHeader = RequestHeader> {
  decode(decoder: RequestDecoder): Request;
  answer(request: Request, context: Context): Parked | number | void;
}

/** `put` the answer into the reply, unless there is none yet. */
function unlessParked<T>(answer: T | Parked, put: (answer: T) => void): Parked | void {
  if (answer === PARKED) return PARKED;
  put(answer);
}

/** Answers GETXATTR and LISTXATTR within the room that the caller has. */
function sized(value: Uint8Array, room: number, reply: ReplyEncoder): void {
  if (room === 0) return reply.xattrSize(value.length);
  if (value.length > room) throw new FsError(Errno.ERANGE);
  reply.bytes(value);
}

function list(
  request: ReaddirRequest & Sized,
  { operations, reply, filler }: Context,
  plus: boolean,
): Parked | void {
  filler.begin(plus, request.room);
  return unlessParked(operations.readdir(request, filler), () => reply.filled(filler.used));
}

function rename(request: RenameRequest, { operations }: Context): Parked | void {
  const known = RenameFlag.NOREPLACE | RenameFlag.EXCHANGE;
  if ((request.flags & ~known) !== 0 || request.flags === known) throw new FsError(Errno.EINVAL);
  return operations.rename(request);
}

const exchanges = new Map<number, Exchange>();

function exchange<Request extends RequestHeader>(opcode: number, how: Exchange<Request>): void {
  // The table forgets the type of the request; `decode` and `answer` of one row always go together.
  exchanges.set(opcode, how as unknown as Exchange);
}

exchange(Opcode.LOOKUP, {
  decode: (decoder) => decoder.lookup(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.lookup(request), (entry) => reply.entry(entry)),
});
exchange(Opcode.GETATTR, {
  decode: (decoder) => decoder.getattr(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.getattr(request), (answer) => reply.attributes(answer)),
});
exchange(Opcode.SETATTR, {
  decode: (decoder) => decoder.setattr(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.setattr(request), (answer) => reply.attributes(answer)),
});
exchange(Opcode.READLINK, {
  decode: (decoder) => decoder.header(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.readlink(request), (target) => reply.bytes(target)),
});
exchange(Opcode.SYMLINK, {
  decode: (decoder) => decoder.symlink(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.symlink(request), (entry) => reply.entry(entry)),
});
exchange(Opcode.MKNOD, {
  decode: (decoder) => decoder.mknod(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.mknod(request), (entry) => reply.entry(entry)),
});
exchange(Opcode.MKDIR, {
  decode: (decoder) => decoder.mkdir(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.mkdir(request), (entry) => reply.entry(entry)),
});
exchange(Opcode.UNLINK, {
  decode: (decoder) => decoder.named(),
  answer: (request, { operations }) => operations.unlink(request),
});
exchange(Opcode.RMDIR, {
  decode: (decoder) => decoder.named(),
  answer: (request, { operations }) => operations.rmdir(request),
});
exchange(Opcode.RENAME, { decode: (decoder) => decoder.rename(false), answer: rename });
exchange(Opcode.RENAME2, { decode: (decoder) => decoder.rename(true), answer: rename });
exchange(Opcode.LINK, {
  decode: (decoder) => decoder.link(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.link(request), (entry) => reply.entry(entry)),
});
exchange(Opcode.OPEN, {
  decode: (decoder) => decoder.open(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.open(request), (answer) => reply.open(answer)),
});
exchange(Opcode.CREATE, {
  decode: (decoder) => decoder.create(true),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.create(request), (answer) => reply.create(answer)),
});
exchange(Opcode.TMPFILE, {
  decode: (decoder) => decoder.create(false),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.tmpfile(request), (answer) => reply.create(answer)),
});
exchange(Opcode.READ, {
  decode: (decoder) => decoder.read(),
  answer: (request, { operations, reply }) => {
    // No file reaches 2^53 bytes, so there is nothing to read there.
    if (request.offset > Number.MAX_SAFE_INTEGER) return;
    if (request.size > reply.room) throw new FsError(Errno.EINVAL);
    const count = operations.read(request, reply.window(request.size));
    if (count === PARKED) return PARKED;
    invariant(count >= 0 && count <= request.size, () => `read ${count} of ${request.size} bytes`);
    reply.filled(count);
  },
});
exchange(Opcode.WRITE, {
  decode: (decoder) => decoder.write(),
  answer: (request, { operations, reply }) => {
    const size = request.data.length;
    const count = operations.write(request);
    if (count === PARKED) return PARKED;
    invariant(count >= 0 && count <= size, () => `wrote ${count} of ${size} bytes`);
    reply.written(count);
  },
});
exchange(Opcode.FLUSH, {
  decode: (decoder) => decoder.flush(),
  answer: (request, { operations }) => operations.flush(request),
});
exchange(Opcode.RELEASE, {
  decode: (decoder) => decoder.release(),
  answer: (request, { operations }) => operations.release(request),
});
exchange(Opcode.FSYNC, {
  decode: (decoder) => decoder.fsync(),
  answer: (request, { operations }) => operations.fsync(request),
});
exchange(Opcode.FSYNCDIR, {
  decode: (decoder) => decoder.fsync(),
  answer: (request, { operations }) => operations.fsyncdir(request),
});
exchange(Opcode.SYNCFS, {
  decode: (decoder) => decoder.header(),
  answer: (request, { operations }) => {
    if (operations.syncfs === undefined) throw new FsError(Errno.ENOSYS);
    return operations.syncfs(request);
  },
});
exchange(Opcode.OPENDIR, {
  decode: (decoder) => decoder.header(),
  answer: (_request, { reply, negotiated }) => {
    // Said once, the kernel opens directories by itself and caches their pages.
    if (negotiated.noOpendir) throw new FsError(Errno.ENOSYS);
    reply.open({ handle: 0, flags: 0 });
  },
});
exchange(Opcode.RELEASEDIR, { decode: (decoder) => decoder.header(), answer: () => {} });
exchange(Opcode.READDIR, {
  decode: (decoder) => decoder.readdir(),
  answer: (request, context) => list(request, context, false),
});
exchange(Opcode.READDIRPLUS, {
  decode: (decoder) => decoder.readdir(),
  answer: (request, context) => list(request, context, true),
});
exchange(Opcode.STATFS, {
  decode: (decoder) => decoder.header(),
  answer: (request, { operations, reply }) => reply.statfs(operations.statfs(request)),
});
exchange(Opcode.GETXATTR, {
  decode: (decoder) => decoder.getxattr(),
  answer: (request, { operations, reply }) => {
    const value = operations.getxattr(request);
    if (value === undefined) return Errno.ENODATA;
    return unlessParked(value, (found) => sized(found, request.room, reply));
  },
});
exchange(Opcode.LISTXATTR, {
  decode: (decoder) => decoder.listxattr(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.listxattr(request), (names) => sized(names, request.room, reply)),
});
exchange(Opcode.SETXATTR, {
  decode: (decoder) => decoder.setxattr(),
  answer: (request, { operations }) => operations.setxattr(request),
});
exchange(Opcode.REMOVEXATTR, {
  decode: (decoder) => decoder.removexattr(),
  answer: (request, { operations }) => operations.removexattr(request),
});
exchange(Opcode.FALLOCATE, {
  decode: (decoder) => decoder.fallocate(),
  answer: (request, { operations }) => operations.fallocate(request),
});
exchange(Opcode.LSEEK, {
  decode: (decoder) => decoder.lseek(),
  answer: (request, { operations, reply }) =>
    unlessParked(operations.lseek(request), (offset) => reply.offset(offset)),
});
exchange(Opcode.COPY_FILE_RANGE, {
  decode: (decoder) => decoder.copyFileRange(),
  answer: (request, { operations, reply }) => {
    if (operations.copyFileRange === undefined) throw new FsError(Errno.ENOSYS);
    return unlessParked(operations.copyFileRange(request), (count) => reply.written(count));
  },
});
exchange(Opcode.COPY_FILE_RANGE_64, {
  decode: (decoder) => decoder.copyFileRange(),
  answer: (request, { operations, reply }) => {
    if (operations.copyFileRange === undefined) throw new FsError(Errno.ENOSYS);
    return unlessParked(operations.copyFileRange(request), (count) => reply.offset(count));
  },
});
exchange(Opcode.IOCTL, {
  decode: (decoder) => decoder.header(),
  answer: () => {
    // isatty(3) asks this of every file a script opens.
    throw new FsError(Errno.ENOTTY);
  },
});

/** How to answer `opcode`; undefined where the answer is ENOSYS. */
export function exchangeOf(opcode: number): Exchange | undefined {
  return exchanges.get(opcode);
}
