/**
 * Sequences of system calls for the comparison with a local file system, from a seed. Knows nothing of
 * what is there: few names and few slots, so that calls meet. What a step means: `calls.py`.
 */
import type { SeededRandom } from "../seeded_random.ts";

export interface Step {
  op: string;
  /** Who takes it: 0 is root, 1 and 2 share a supplementary group. */
  as?: number;
  [key: string]: unknown;
}

export interface GeneratorOptions {
  steps: number;
  /** Bytes; offsets and sizes gather around its multiples. */
  chunkSize: number;
  /** Changes users from step to step. */
  users: boolean;
  /** What `zero` does in between, and how often: one step in `zeroEvery`. */
  zeroEvery: number;
}

const DIRECTORIES = ["d", "e", "d/s", "w"];
const NAMES = ["a", "b", "c", "\xff\xfe", "n".repeat(255)];
const ODD_PATHS = [
  "",
  ".",
  "d/..",
  "loop",
  "link/a",
  "a/b",
  "n".repeat(256),
  "d/",
  "a/",
  "d/.",
  "missing/a",
];
const XATTRS = [
  "user.one",
  "user.two",
  "user." + "n".repeat(250),
  "user.",
  "trusted.one",
  "security.one",
  "nothing.one",
];
const FALLOCATE_MODES = [0, 0, 1, 3, 3, 16, 17, 2];
const SLOTS = 5;
/** So many steps at the beginning make the directories that the others use. */
export const PREPARING_STEPS = 5;
/** What would change the other process only. */
const OWN_PROCESS = new Set(["open", "close", "umask", "contents"]);

class Generator {
  readonly #random: SeededRandom;
  readonly #options: GeneratorOptions;

  constructor(random: SeededRandom, options: GeneratorOptions) {
    this.#random = random;
    this.#options = options;
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#random.below(values.length)];
  }

  #chance(of: number): boolean {
    return this.#random.below(of) === 0;
  }

  #path(): string {
    if (this.#chance(25)) return this.#pick(ODD_PATHS);
    const name = this.#chance(6)
      ? this.#pick(DIRECTORIES)
      : this.#pick(NAMES.slice(0, this.#chance(4) ? 5 : 3));
    if (this.#chance(12)) return `@${this.#slot()}/${name}`;
    return this.#chance(2) ? name : `${this.#pick(DIRECTORIES)}/${name}`;
  }

  #directory(): string {
    return this.#chance(6) ? this.#path() : this.#pick([...DIRECTORIES, ""]);
  }

  #slot(): number {
    return this.#random.below(SLOTS);
  }

  /** An offset or size: small, or around a border between chunks. */
  #offset(): number {
    const chunk = this.#options.chunkSize;
    switch (this.#random.below(6)) {
      case 0:
        return 0;
      case 1:
        return this.#random.below(5000);
      case 2:
        return this.#random.below(5) * chunk;
      case 3:
        return Math.max(0, this.#random.below(5) * chunk + this.#random.below(5) - 2);
      case 4:
        return this.#random.below(40) * 4096;
      default:
        return this.#random.below(6 * chunk);
    }
  }

  #size(): number {
    const chunk = this.#options.chunkSize;
    return this.#pick([1, this.#random.below(5000), chunk, this.#random.below(3 * chunk)]);
  }

  #seed(): number {
    return this.#random.below(1 << 30);
  }

  #mode(): number {
    return this.#pick([
      0o644,
      0o600,
      0o666,
      0o755,
      0o777,
      0o4755,
      0o2755,
      0o6777,
      0o2644,
      0o000,
      0o1777,
      0o2775,
    ]);
  }

  /** Never neither: with setgid, the kernel asks of strangers more for a local file system than for FUSE. */
  #owners(): { uid: number; gid: number } {
    const uid = this.#pick([-1, 0, 61001, 61002]);
    const gid = this.#pick([0, 61001, 61002, 63001]);
    return { uid, gid: uid !== -1 && this.#chance(4) ? -1 : gid };
  }

  #time(): unknown {
    return this.#pick(["now", "omit", [1_000_000_000, 123_456_789], [-5, 999_999_999], [
      -86400 * 365,
      0,
    ], [
      5_000_000_000,
      1,
    ], [0, 0]]);
  }

  #open(): Step {
    const flags = [this.#pick(["RDONLY", "WRONLY", "RDWR", "RDWR", "RDWR"])];
    let path = this.#path();
    if (this.#chance(2)) flags.push("CREAT");
    if (this.#chance(6)) flags.push("EXCL");
    if (this.#chance(4)) flags.push("TRUNC");
    if (this.#chance(5)) flags.push("APPEND");
    if (this.#chance(10)) flags.push(this.#pick(["SYNC", "DSYNC"]));
    if (this.#chance(10)) flags.push("NOFOLLOW");
    if (this.#chance(12)) flags.push("DIRECT");
    if (this.#chance(25)) flags.push("NOATIME");
    if (this.#chance(20)) flags.push("PATH");
    if (this.#chance(15)) {
      flags.push("TMPFILE");
      path = this.#directory();
    } else if (this.#chance(10)) {
      flags.splice(0, flags.length, "RDONLY", "DIRECTORY");
      path = this.#directory();
    }
    // A FIFO must not block the opener.
    flags.push("NONBLOCK");
    return { op: "open", slot: this.#slot(), path, flags, mode: this.#mode() };
  }

  #rename(): Step {
    const step = { op: "rename", path: this.#path(), to: this.#path() };
    return this.#chance(3) ? { ...step, flags: this.#pick([1, 2, 2, 3]) } : step;
  }

  #xattr(): Step {
    const path = this.#path();
    const name = this.#pick(this.#chance(2) ? XATTRS.slice(0, 2) : XATTRS);
    if (this.#chance(4)) return this.#acl(path);
    switch (this.#random.below(5)) {
      case 0:
        return { op: "getxattr", path, name };
      case 1:
        return { op: "listxattr", path };
      case 2:
        return { op: "removexattr", path, name };
      default: {
        const size = this.#pick([0, 3, 300]);
        return {
          op: "setxattr",
          path,
          name,
          seed: this.#seed(),
          size,
          flags: this.#pick([0, 0, 1, 2]),
        };
      }
    }
  }

  #acl(path: string): Step {
    const name = this.#pick(["system.posix_acl_access", "system.posix_acl_default"]);
    if (this.#chance(5)) return { op: "removexattr", path, name };
    if (this.#chance(4)) return { op: "getxattr", path, name };
    return { op: "setxattr", path, name, value: this.#aclBytes() };
  }

  /** Mostly well formed, in hexadecimal. */
  #aclBytes(): string {
    const bits = () => this.#random.below(8);
    const entries = [[1, 7 - this.#random.below(2), -1]];
    if (this.#chance(2)) entries.push([2, bits(), 61001]);
    entries.push([4, bits(), -1]);
    if (this.#chance(2)) entries.push([8, bits(), 63001]);
    if (entries.length > 2 && !this.#chance(12)) entries.push([16, bits(), -1]);
    entries.push([32, bits(), -1]);
    return "02000000" +
      entries.map(([tag, permissions, id]) => hex(tag, 2) + hex(permissions, 2) + hex(id >>> 0, 4))
        .join("");
  }

  /** The kinds of step, each as often as its weight says. */
  readonly #kinds: [number, () => Step][] = [
    [14, () => this.#open()],
    [2, () => ({ op: "close", slot: this.#slot() })],
    [6, () => ({ op: "read", slot: this.#slot(), size: this.#size(), ...this.#maybeAt() })],
    [
      14,
      () => ({
        op: "write",
        slot: this.#slot(),
        seed: this.#seed(),
        size: this.#size(),
        ...this.#maybeAt(),
      }),
    ],
    [3, () => ({
      op: "mmap",
      slot: this.#slot(),
      seed: this.#seed(),
      size: this.#size(),
      at: this.#offset(),
      private: this.#chance(3),
    })],
    [4, () => ({ op: "truncate", path: this.#path(), size: this.#offset() })],
    [3, () => ({ op: "ftruncate", slot: this.#slot(), size: this.#offset() })],
    [
      5,
      () => ({
        op: "mkdir",
        path: this.#chance(2) ? this.#pick(DIRECTORIES) : this.#path(),
        mode: this.#mode(),
      }),
    ],
    [2, () => ({ op: "rmdir", path: this.#path() })],
    [2, () => ({
      op: "mknod",
      path: this.#path(),
      mode: this.#pick([0o010000, 0o140000, 0o020000, 0o060000, 0o100000, 0, 0o040000, 0o120000]) |
        this.#mode(),
      device: this.#pick([[0, 0], [1, 3], [259, 70_000]]),
    })],
    [2, () => ({
      op: "symlink",
      path: this.#chance(3) ? this.#pick(["loop", "link"]) : this.#path(),
      target: this.#pick([
        "loop",
        "a",
        "d",
        "../a",
        "missing",
        "t".repeat(4000),
        "t".repeat(4095),
        "",
      ]),
    })],
    [1, () => ({ op: "readlink", path: this.#path() })],
    [3, () => ({ op: "link", path: this.#path(), to: this.#path(), follow: this.#chance(4) })],
    [1, () => ({ op: "linkfd", slot: this.#slot(), to: this.#path() })],
    [4, () => ({ op: "unlink", path: this.#path() })],
    [8, () => this.#rename()],
    [4, () => ({ op: "chmod", path: this.#path(), mode: this.#mode() })],
    [1, () => ({ op: "fchmod", slot: this.#slot(), mode: this.#mode() })],
    [3, () => ({
      op: "chown",
      path: this.#path(),
      ...this.#owners(),
      follow: this.#chance(2),
    })],
    [1, () => ({ op: "fchown", slot: this.#slot(), ...this.#owners() })],
    [3, () => ({ op: "utimens", path: this.#path(), atime: this.#time(), mtime: this.#time() })],
    [1, () => ({ op: "utimens", slot: this.#slot(), atime: this.#time(), mtime: this.#time() })],
    [6, () => this.#xattr()],
    [4, () => ({
      op: "fallocate",
      slot: this.#slot(),
      mode: this.#pick(FALLOCATE_MODES),
      at: this.#offset(),
      size: this.#size(),
    })],
    [
      2,
      () => ({ op: "seek", slot: this.#slot(), at: this.#offset(), whence: this.#random.below(5) }),
    ],
    [2, () => ({ op: "fsync", slot: this.#slot(), data: this.#chance(2) })],
    [3, () => ({
      op: "copy",
      slot: this.#slot(),
      to: this.#slot(),
      at: this.#offset(),
      toAt: this.#offset(),
      size: this.#size(),
    })],
    [2, () => ({ op: "readdir", path: this.#directory() })],
    [
      1,
      () => ({
        op: "flock",
        slot: this.#slot(),
        kind: this.#pick(["shared", "exclusive", "none"]),
      }),
    ],
    [1, () => ({
      op: this.#pick(["lock", "process_lock"]),
      slot: this.#slot(),
      kind: this.#pick(["shared", "exclusive", "none"]),
      at: this.#random.below(100),
      size: this.#random.below(100),
    })],
    [2, () => ({ op: "access", path: this.#path(), mode: this.#random.below(8) })],
    [1, () => ({ op: "statfs", path: this.#path() })],
    [1, () => ({ op: "umask", mask: this.#pick([0, 0o022, 0o027, 0o077]) })],
    [5, () => ({ op: "contents" })],
  ];

  #maybeAt(): { at?: number } {
    return this.#chance(3) ? {} : { at: this.#offset() };
  }

  #one(): Step {
    const total = this.#kinds.reduce((sum, [weight]) => sum + weight, 0);
    let at = this.#random.below(total);
    for (const [weight, make] of this.#kinds) {
      if (at < weight) return make();
      at -= weight;
    }
    return this.#open();
  }

  steps(): Step[] {
    // PREPARING_STEPS of them.
    const steps: Step[] = [
      { op: "chmod", path: "", mode: this.#pick([0o777, 0o777, 0o1777, 0o2777, 0o755]) },
      ...DIRECTORIES.slice(0, 3).map((path) => ({ op: "mkdir", path, mode: 0o777 })),
      { op: "chmod", path: "d", mode: this.#pick([0o777, 0o1777, 0o2777, 0o755]) },
    ];
    while (steps.length < this.#options.steps) {
      if (this.#chance(this.#options.zeroEvery)) {
        // After a remount, uploads wait for the claim on the bucket to settle.
        const often = ["sync", "evict", "evict", "recall"];
        const what = this.#chance(12) ? "remount" : this.#pick(often);
        if (what === "evict") steps.push({ op: "zero", what: "sync" });
        steps.push({ op: "zero", what });
        continue;
      }
      let step = this.#one();
      if (this.#chance(12) && !OWN_PROCESS.has(step.op)) step = { op: "elsewhere", step };
      if (this.#options.users && this.#chance(2)) step.as = 1 + this.#random.below(2);
      steps.push(step);
    }
    return [...steps, { op: "contents" }];
  }
}

/** Little-endian. */
function hex(value: number, bytes: number): string {
  return Array.from(
    { length: bytes },
    (_, i) => (Math.floor(value / 256 ** i) % 256).toString(16).padStart(2, "0"),
  ).join("");
}

/** The same steps for the same random numbers. */
export function generateSteps(random: SeededRandom, options: GeneratorOptions): Step[] {
  return new Generator(random, options).steps();
}
