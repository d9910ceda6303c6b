/**
 * The one place that opens libc. Owns the table of foreign functions and the view of this isolate's
 * errno; `libc.ts` wraps them for everybody else. Never called directly from other folders.
 *
 * Lengths, offsets and other 64-bit arguments are declared i64/usize and must be passed as BigInt: a
 * plain number there takes the slow path of Deno's FFI (measured: 32 ns against 195 ns). Results that
 * fit 31 bits are declared i32, because 64-bit results come back as BigInt.
 */
const library = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  copy_file_range: {
    parameters: ["i32", "buffer", "i32", "buffer", "usize", "u32"],
    result: "i32",
  },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  fdatasync: { parameters: ["i32"], result: "i32" },
  fsync: { parameters: ["i32"], result: "i32" },
  syncfs: { parameters: ["i32"], result: "i32" },
  fstat: { parameters: ["i32", "buffer"], result: "i32" },
  stat: { parameters: ["buffer", "buffer"], result: "i32" },
  lstat: { parameters: ["buffer", "buffer"], result: "i32" },
  fstatvfs: { parameters: ["i32", "buffer"], result: "i32" },
  statvfs: { parameters: ["buffer", "buffer"], result: "i32" },
  futimens: { parameters: ["i32", "buffer"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  rmdir: { parameters: ["buffer"], result: "i32" },
  rename: { parameters: ["buffer", "buffer"], result: "i32" },
  symlink: { parameters: ["buffer", "buffer"], result: "i32" },
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  link: { parameters: ["buffer", "buffer"], result: "i32" },
  mknod: { parameters: ["buffer", "u32", "u64"], result: "i32" },
  chmod: { parameters: ["buffer", "u32"], result: "i32" },
  lchown: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  utimensat: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  llistxattr: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  lgetxattr: { parameters: ["buffer", "buffer", "buffer", "usize"], result: "i32" },
  lsetxattr: { parameters: ["buffer", "buffer", "buffer", "usize", "i32"], result: "i32" },
  lremovexattr: { parameters: ["buffer", "buffer"], result: "i32" },
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "buffer"], result: "i32" },
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  umask: { parameters: ["u32"], result: "u32" },
  setsid: { parameters: [], result: "i32" },
  getuid: { parameters: [], result: "u32" },
  geteuid: { parameters: [], result: "u32" },
  getgid: { parameters: [], result: "u32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },

  background_fdatasync: {
    name: "fdatasync",
    parameters: ["i32"],
    result: "i32",
    nonblocking: true,
  },
  background_fsync: { name: "fsync", parameters: ["i32"], result: "i32", nonblocking: true },
  background_syncfs: { name: "syncfs", parameters: ["i32"], result: "i32", nonblocking: true },
  background_unlink: { name: "unlink", parameters: ["buffer"], result: "i32", nonblocking: true },
  background_ftruncate: {
    name: "ftruncate",
    parameters: ["i32", "i64"],
    result: "i32",
    nonblocking: true,
  },
  background_statvfs: {
    name: "statvfs",
    parameters: ["buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  background_pread: {
    name: "pread",
    parameters: ["i32", "buffer", "usize", "i64"],
    result: "i32",
    nonblocking: true,
  },
});

export const symbols = library.symbols;

// errno is thread-local, and every isolate evaluates this module on its own thread. Measured: no
// mismatch in 3 million failing calls on two isolates with allocation in between.
const errnoView = new Deno.UnsafePointerView(symbols.__errno_location()!);

/** The errno of the last failed blocking call of this isolate. Read it before any other call. */
export function errno(): number {
  return errnoView.getInt32();
}

/**
 * A view as the FFI types want it. Deno's declarations exclude shared memory; the call itself takes
 * any view, and a system call reads or writes it like any other memory.
 */
export function buffer(view: Uint8Array): Uint8Array<ArrayBuffer> {
  return view as Uint8Array<ArrayBuffer>;
}

/** `result`, or the negative errno where the call has just returned -1. */
export function checked(result: number): number {
  return result < 0 ? -errno() : result;
}

/** A path or another string as libc wants it; bytes are taken as they are. */
export type PathLike = string | Uint8Array;

const encoder = new TextEncoder();

/** `text` with a NUL behind it. Throws RangeError where it holds a NUL itself, which libc would cut at. */
export function cstring(text: PathLike): Uint8Array<ArrayBuffer> {
  const bytes = typeof text === "string" ? encoder.encode(text) : text;
  if (bytes.includes(0)) {
    throw new RangeError("a path must not hold a NUL byte: " + JSON.stringify(String(text)));
  }
  const result = new Uint8Array(bytes.length + 1);
  result.set(bytes);
  return result;
}
