/**
 * INIT: what is agreed with the kernel, as a pure function of its offer and our wishes. Only flags that
 * the kernel offered are ever asked for. Deliberately never: WRITEBACK_CACHE (excludes passthrough),
 * AUTO_INVAL_DATA (drops pages when mtime moves), ASYNC_READ (buffered reads could not be
 * interrupted), READDIRPLUS_AUTO (which pages of a listing get attributes is decided here), POSIX_LOCKS
 * and FLOCK_LOCKS (locks stay with the kernel).
 */
import { UserError } from "../domain/errors.ts";
import { InitFlag, InitFlag2, MAJOR, MAX_WRITE_BYTES, NEWEST_MINOR, OLDEST_MINOR } from "./abi.ts";
import type { InitRequest } from "./request_decoder.ts";

export interface Wishes {
  /** POSIX ACLs: the kernel enforces them, the file system keeps them and the mode in step. */
  readonly acl?: boolean;
  /** Files served by the kernel straight from a content file. Needs CAP_SYS_ADMIN. */
  readonly passthrough?: boolean;
  /** Others change what is shown: the kernel must not keep listings of directories. */
  readonly following?: boolean;
}

export interface Negotiated {
  readonly minor: number;
  /** INIT flags 0 to 31 and 32 to 63, as unsigned numbers. */
  readonly flags: number;
  readonly flags2: number;
  readonly maxReadaheadBytes: number;
  readonly maxWriteBytes: number;
  readonly maxPages: number;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly timeGranularityNs: number;
  readonly maxStackDepth: number;
  /** What others decide by, read from the flags. */
  readonly acl: boolean;
  readonly passthrough: boolean;
  readonly killPrivileges: boolean;
  readonly directIoAllowMmap: boolean;
  readonly atomicTruncate: boolean;
  readonly extendedSetxattr: boolean;
  readonly noOpendir: boolean;
}

/**
 * Not ASYNC_DIO: with it the kernel does not drop what others have read into its cache while an
 * asynchronous direct write was under way, and they read the old bytes for good.
 */
const WANTED = InitFlag.ATOMIC_O_TRUNC | InitFlag.EXPORT_SUPPORT | InitFlag.BIG_WRITES |
  InitFlag.DONT_MASK | InitFlag.DO_READDIRPLUS | InitFlag.PARALLEL_DIROPS | InitFlag.ABORT_ERROR |
  InitFlag.MAX_PAGES | InitFlag.CACHE_SYMLINKS | InitFlag.NO_OPENDIR_SUPPORT |
  InitFlag.EXPLICIT_INVAL_DATA | InitFlag.HANDLE_KILLPRIV_V2 | InitFlag.INIT_EXT;
const WANTED_FOR_ACL = InitFlag.POSIX_ACL | InitFlag.SETXATTR_EXT;

/** Bytes per write of a kernel without MAX_PAGES: 32 pages. */
const SMALL_WRITE_BYTES = 128 * 1024;

/**
 * Parked requests hold background slots; at the default of 12, parked readahead stalls the reads of
 * all other files (measured). So as many as the field holds.
 */
const MAX_BACKGROUND = 65535;
const CONGESTION_THRESHOLD = 65000;

/** True for a kernel that the session can talk to. Of a newer major version, it asks again with 7. */
export function supported(init: InitRequest): boolean {
  return init.major > MAJOR || (init.major === MAJOR && init.minor >= OLDEST_MINOR);
}

/** Says why `init` is not `supported`. */
export function unsupportedError(init: InitRequest): UserError {
  return new UserError(
    `this kernel speaks FUSE protocol ${init.major}.${init.minor}; at least ${MAJOR}.${OLDEST_MINOR} is needed`,
    { hint: "use Linux 5.4 or newer (6.9 or newer for reads at the speed of the disk)" },
  );
}

export function negotiate(init: InitRequest, wishes: Wishes): Negotiated {
  const extended = (init.flags & InitFlag.INIT_EXT) !== 0;
  const wanted = WANTED & ~(wishes.following ? InitFlag.NO_OPENDIR_SUPPORT : 0);
  const flags = init.flags & (wanted | (wishes.acl ? WANTED_FOR_ACL : 0));
  const wanted2 = InitFlag2.DIRECT_IO_ALLOW_MMAP |
    (wishes.passthrough ? InitFlag2.PASSTHROUGH : 0);
  const flags2 = extended ? init.flags2 & wanted2 : 0;
  const passthrough = (flags2 & InitFlag2.PASSTHROUGH) !== 0;
  const manyPages = (flags & InitFlag.MAX_PAGES) !== 0;
  const maxWriteBytes = manyPages ? MAX_WRITE_BYTES : SMALL_WRITE_BYTES;
  return {
    minor: Math.min(init.minor, NEWEST_MINOR),
    flags: flags >>> 0,
    flags2: flags2 >>> 0,
    maxReadaheadBytes: init.maxReadahead,
    maxWriteBytes,
    maxPages: manyPages ? maxWriteBytes / 4096 : 0,
    maxBackground: MAX_BACKGROUND,
    congestionThreshold: CONGESTION_THRESHOLD,
    timeGranularityNs: 1,
    maxStackDepth: passthrough ? 1 : 0,
    acl: (flags & InitFlag.POSIX_ACL) !== 0,
    passthrough,
    killPrivileges: (flags & InitFlag.HANDLE_KILLPRIV_V2) !== 0,
    directIoAllowMmap: (flags2 & InitFlag2.DIRECT_IO_ALLOW_MMAP) !== 0,
    atomicTruncate: (flags & InitFlag.ATOMIC_O_TRUNC) !== 0,
    extendedSetxattr: (flags & InitFlag.SETXATTR_EXT) !== 0,
    noOpendir: (flags & InitFlag.NO_OPENDIR_SUPPORT) !== 0,
  };
}
