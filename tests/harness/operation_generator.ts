/**
 * Random operations on names and attributes, the same for the same seed. They say what to do, not to
 * which inode: a `Choice` is resolved by whoever runs them, against what exists by then, so a list of
 * operations can be cut anywhere and still means something.
 */
import type { ReferenceType } from "./reference_filesystem.ts";
import type { SeededRandom } from "./seeded_random.ts";

/** One of the inodes known by then, of directories or of all: the one at the fraction `pick` of them. */
export interface Choice {
  among: "directories" | "all";
  pick: number;
}

interface Caller {
  uid: number;
  gid: number;
}

interface Naming {
  directory: Choice;
  name: Uint8Array;
  /** If set, and the directory is not empty: not `name`, but the name at this fraction of its names. */
  existing?: number;
}

export type Operation =
  | ({ kind: "create"; type: ReferenceType; mode: number; umask: number } & Naming & Caller)
  | ({ kind: "temporary"; directory: Choice; mode: number; umask: number } & Caller)
  | ({ kind: "lookup" | "unlink" | "rmdir" } & Naming)
  | ({ kind: "link"; target: Choice } & Naming)
  | ({ kind: "rename"; newDirectory: Choice; newName: Uint8Array; flags: number } & Naming)
  | {
    kind: "setattr";
    node: Choice;
    mode?: number;
    uid?: number;
    gid?: number;
    size?: number;
    atime?: { seconds: number; nanoseconds: number } | "now";
    mtime?: { seconds: number; nanoseconds: number } | "now";
    killPrivileges: boolean;
  }
  | { kind: "setxattr"; node: Choice; name: string; value: Uint8Array; flags: number }
  | { kind: "getxattr" | "removexattr"; node: Choice; name: string }
  | { kind: "listxattr"; node: Choice; uid: number }
  | { kind: "readdir"; directory: Choice; plus: boolean; slice: number }
  | { kind: "readlink" | "open" | "close" | "forget"; node: Choice };

const encoder = new TextEncoder();
/** Few, so that they collide; one that is not UTF-8 and one as long as a name may be. */
const NAMES = [
  ..."abcdefg".split("").map((name) => encoder.encode(name)),
  new Uint8Array([0xff, 0xfe, 0x01]),
  new Uint8Array(255).fill(0x78),
];
const XATTRS = [
  "user.a",
  "user.b",
  "user.",
  "user.zero.nothing",
  "trusted.t",
  "security.capability",
  "system.nfs4_acl",
  "other.x",
];
const TYPES: ReferenceType[] = ["fifo", "socket", "block", "char", "symlink"];

export class OperationGenerator {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  next(): Operation {
    const kind = this.#random.below(100);
    if (kind < 12) return this.#create("file");
    if (kind < 24) return this.#create("directory");
    if (kind < 29) return this.#create(this.#one(TYPES));
    if (kind < 31) return { kind: "temporary", directory: this.#directory(), ...this.#creator() };
    if (kind < 38) return { kind: "lookup", ...this.#naming() };
    if (kind < 45) return { kind: "unlink", ...this.#naming() };
    if (kind < 51) return { kind: "rmdir", ...this.#naming() };
    if (kind < 56) return { kind: "link", target: this.#node(), ...this.#naming() };
    if (kind < 74) return this.#rename();
    if (kind < 81) return this.#setattr();
    if (kind < 88) return this.#xattr();
    if (kind < 91) return this.#readdir();
    if (kind < 92) return { kind: "readlink", node: this.#node() };
    if (kind < 93) return { kind: "open", node: this.#node() };
    if (kind < 95) return { kind: "close", node: this.#node() };
    return { kind: "forget", node: this.#node() };
  }

  #create(type: ReferenceType): Operation {
    return {
      kind: "create",
      type,
      directory: this.#directory(),
      name: this.#one(NAMES),
      ...this.#creator(),
    };
  }

  #creator(): { mode: number; umask: number } & Caller {
    return {
      mode: this.#one([0o644, 0o755, 0o777, 0o2775, 0o4755, 0o1777, 0]),
      umask: this.#one([0o022, 0o077, 0]),
      uid: this.#random.below(3),
      gid: this.#random.below(3),
    };
  }

  #rename(): Operation {
    return {
      kind: "rename",
      ...this.#naming(),
      newDirectory: this.#directory(),
      newName: this.#one(NAMES),
      flags: this.#one([0, 0, 0, 0, 1, 2, 2, 3]),
    };
  }

  #setattr(): Operation {
    const maybe = <T>(value: () => T) => this.#random.below(4) === 0 ? value() : undefined;
    return {
      kind: "setattr",
      node: this.#node(),
      mode: maybe(() => this.#one([0o600, 0o6755, 0o2644, 0o4711, 0o2770])),
      uid: maybe(() => this.#random.below(3)),
      gid: maybe(() => this.#random.below(3)),
      size: maybe(() => this.#random.below(1 << 20)),
      atime: maybe(() => this.#time()),
      mtime: maybe(() => this.#time()),
      killPrivileges: this.#random.below(4) === 0,
    };
  }

  /** Now, or anywhere between 1901 and 2242. */
  #time(): { seconds: number; nanoseconds: number } | "now" {
    if (this.#random.below(3) === 0) return "now";
    return {
      seconds: -(2 ** 31) + this.#random.next() * 2,
      nanoseconds: this.#random.below(1_000_000_000),
    };
  }

  #xattr(): Operation {
    const node: Choice = { among: "all", pick: this.#random.fraction() ** 4 };
    const name = this.#one(XATTRS);
    switch (this.#random.below(5)) {
      case 0:
        return { kind: "getxattr", node, name };
      case 1:
        return { kind: "removexattr", node, name };
      case 2:
        return { kind: "listxattr", node, uid: this.#random.below(2) };
      default: {
        const length = this.#one([0, 5, 300, 65536, 65537]);
        const flags = this.#one([0, 0, 1, 2]);
        return { kind: "setxattr", node, name, value: this.#random.bytes(length), flags };
      }
    }
  }

  #readdir(): Operation {
    return {
      kind: "readdir",
      directory: this.#directory(),
      plus: this.#random.below(2) === 0,
      slice: 1 + this.#random.below(6),
    };
  }

  #naming(): Naming {
    const directory = this.#directory();
    const existing = this.#random.below(2) === 0 ? this.#random.fraction() : undefined;
    return { directory, name: this.#one(NAMES), existing };
  }

  /** Nearly always a directory: else most operations would end at ENOTDIR. */
  #directory(): Choice {
    const among = this.#random.below(25) === 0 ? "all" : "directories";
    // Those that were known first are chosen more often, so that names meet.
    return { among, pick: this.#random.fraction() ** 3 };
  }

  #node(): Choice {
    return { among: "all", pick: this.#random.fraction() };
  }

  #one<T>(values: readonly T[]): T {
    return values[this.#random.below(values.length)];
  }
}
