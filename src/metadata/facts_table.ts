/**
 * All that a policy may know of a file, put together from its rows: sizes, uses, every name, pins on
 * it and on the directories above. Reads only; the same for the isolate that acts and for a preview on
 * read-only databases. Owns a cache of directories, which `forgetDirectories` empties after one was
 * renamed or pinned. Who has a file open is known elsewhere.
 */
import { printName } from "../domain/name_text.ts";
import type { MetadataDatabase, Statement } from "./database.ts";
import { PIN_NAME, pinUntil } from "./pins.ts";
import { unpackTimes } from "./usage_table.ts";

/** A regular file. Times are wall clock milliseconds, sizes bytes; as src/policy/facts.ts means them. */
export interface FactsRow {
  inode: number;
  generation: number;
  /** Of its row in usage; what is sorted by these facts must name it. */
  stamp: number;
  /** Grows whenever a directory is renamed or pinned: its paths and pins may then be others. */
  epoch: number;
  /** Of class local already. */
  kept: boolean;
  paths: string[];
  size: number;
  allocated: number;
  resident: number;
  /** Of that, what is nowhere else. */
  local: number;
  dirty: boolean;
  open: boolean;
  writing: boolean;
  confirmed: boolean;
  pin?: { untilMs?: number };
  createdMs: number;
  residentSinceMs: number;
  lastUsedMs: number;
  changedMs: number;
  heat: number;
  heatAtMs: number;
  recalledBy?: string;
  uses?: number[];
  uid: number;
  gid: number;
  xattrs?: Record<string, string>;
  links: number;
}

/** What a policy asks for beyond the usual. */
export interface FactNeeds {
  uses: boolean;
  xattrs: boolean;
}

export interface Directory {
  /** With a slash at its end. */
  path: string;
  /** Until when all below it is pinned, milliseconds; -Infinity: not. */
  pinnedUntilMs: number;
}

const DIRECTORIES_CACHED = 20_000;
/** Longest value of an attribute that is compared. */
const XATTR_BYTES = 1024;

/** Of an inode `i` with its usage `u`, in the order that `#facts` reads. */
const COLUMNS = `i.id, i.generation, i.size, i.allocated, i.resident, i.local,
  i.dirty + 2 * i.pinned + 4 * i.kept, i.changed_ms, i.btime_s * 1000 + i.btime_ns / 1000000,
  i.uid, i.gid, i.nlink, u.last_used_ms, u.heat, u.heat_at_ms, u.since_ms, u.recalled_by, u.stamp,
  d.parent, CAST(d.name AS TEXT)`;
/** Of files with one name, which are nearly all, it comes along: a query less for each. */
const NAME = "LEFT JOIN main.dentry d ON d.inode = i.id AND i.nlink = 1";
const REGULAR = "i.mode & 61440 = 32768";
/** Bits of the seventh column. */
const DIRTY = 1;
const PINNED = 2;
const KEPT = 4;

type Row = [
  inode: number,
  generation: number,
  size: number,
  allocated: number,
  resident: number,
  local: number,
  flags: number,
  changedMs: number,
  createdMs: number,
  uid: number,
  gid: number,
  links: number,
  lastUsedMs: number | null,
  heat: number | null,
  heatAtMs: number | null,
  sinceMs: number | null,
  recalledBy: string | null,
  stamp: number | null,
  parent: number | null,
  name: string | null,
];

export class FactsTable {
  readonly #one: Statement;
  readonly #names: Statement;
  readonly #nameBytes: Statement;
  readonly #place: Statement;
  readonly #pinned: Statement;
  readonly #pinText: Statement;
  readonly #anyUnverified: Statement;
  readonly #unverified: Statement;
  readonly #uses: Statement;
  readonly #xattrs: Statement;
  readonly #directories = new Map<number, Directory | undefined>();
  /** The directory that was asked for last: files come in the order in which they were made. */
  #lastDirectory: { inode: number; directory: Directory | undefined } | undefined;
  epoch = 0;

  constructor(database: MetadataDatabase) {
    const usage = "LEFT JOIN history.usage u ON u.inode = i.id";
    this.#one = database.arrayStatement(
      `SELECT ${COLUMNS} FROM main.inode i ${usage} ${NAME} WHERE i.id = ? AND ${REGULAR}`,
    );
    this.#names = database.arrayStatement(
      "SELECT parent, CAST(name AS TEXT) FROM main.dentry WHERE inode = ?",
    );
    this.#nameBytes = database.arrayStatement(
      "SELECT parent, name FROM main.dentry WHERE inode = ?",
    );
    this.#place = database.arrayStatement(
      "SELECT parent, name FROM main.dentry WHERE inode = ? LIMIT 1",
    );
    this.#pinned = database.arrayStatement("SELECT pinned FROM main.inode WHERE id = ?");
    this.#pinText = database.arrayStatement(
      "SELECT value FROM main.xattr WHERE inode = ? AND name = ?",
    );
    this.#anyUnverified = database.arrayStatement(
      `SELECT EXISTS (SELECT 1 FROM main.pack WHERE verified = 0 AND live_chunks > 0)
         OR EXISTS (SELECT 1 FROM main.chunk WHERE lost = 1)`,
    );
    this.#unverified = database.arrayStatement(
      `SELECT 1 FROM main.map m JOIN main.chunk c ON c.id = m.chunk JOIN main.pack p ON p.id = c.pack
       WHERE m.inode = ? AND (p.verified = 0 OR c.lost = 1) LIMIT 1`,
    );
    this.#uses = database.arrayStatement("SELECT uses FROM history.usage WHERE inode = ?");
    this.#xattrs = database.arrayStatement("SELECT name, value FROM main.xattr WHERE inode = ?");
  }

  /** A directory has been renamed or pinned: what is known of those below it may be wrong. */
  forgetDirectories(): void {
    this.epoch++;
    this.#directories.clear();
    this.#lastDirectory = undefined;
  }

  /** Undefined: gone, nameless, or no regular file. */
  get(inode: number, needs: FactNeeds): FactsRow | undefined {
    const row = this.#one.get(inode) as unknown as Row | undefined;
    return row === undefined ? undefined : this.#facts(row, needs, true);
  }

  /** Whether anything in the bucket is not verified, or lost: only then each file has to be looked at. */
  get doubtful(): boolean {
    return (this.#anyUnverified.get() as unknown as [number])[0] === 1;
  }

  /** Whether all that a file has in packs is in packs that were looked at, and not lost. */
  confirmed(inode: number): boolean {
    return this.#unverified.get(inode) === undefined;
  }

  #facts(row: Row, needs: FactNeeds, doubtful: boolean): FactsRow | undefined {
    const [inode, generation, size, allocated, resident, local, flags, changedMs, created] = row;
    const createdMs = Math.floor(created);
    const facts: FactsRow = {
      inode,
      generation,
      stamp: row[17] ?? 0,
      epoch: this.epoch,
      kept: (flags & KEPT) !== 0,
      paths: [],
      size,
      allocated,
      resident,
      local,
      dirty: (flags & DIRTY) !== 0,
      open: false,
      writing: false,
      confirmed: !doubtful || resident === 0 || this.confirmed(inode),
      createdMs,
      residentSinceMs: row[15] ?? createdMs,
      lastUsedMs: row[12] ?? createdMs,
      changedMs,
      heat: row[13] ?? 1,
      heatAtMs: row[14] ?? createdMs,
      uid: row[9],
      gid: row[10],
      links: row[11],
    };
    let pinnedUntilMs = (flags & PINNED) === 0 ? -Infinity : this.#pinUntil(inode);
    if (row[18] === null) pinnedUntilMs = Math.max(pinnedUntilMs, this.#allNames(facts));
    else {
      const directory = this.directory(row[18]);
      if (directory === undefined) return undefined;
      facts.paths.push(directory.path + this.printed(inode, row[19]!));
      pinnedUntilMs = Math.max(pinnedUntilMs, directory.pinnedUntilMs);
    }
    if (facts.paths.length === 0) return undefined;
    if (pinnedUntilMs === Infinity) facts.pin = {};
    else if (pinnedUntilMs > -Infinity) facts.pin = { untilMs: pinnedUntilMs };
    if (row[16] !== null) facts.recalledBy = row[16];
    if (needs.uses) facts.uses = this.usesOf(inode);
    if (needs.xattrs) facts.xattrs = this.attributes(inode);
    return facts;
  }

  /** Of a file with several names. Answers until when the directories that hold them pin it. */
  #allNames(facts: FactsRow): number {
    let pinnedUntilMs = -Infinity;
    const names = this.#names.all(facts.inode) as unknown as [number, string][];
    const bytes = names.every(([, name]) => isPlain(name))
      ? undefined
      : this.#nameBytes.all(facts.inode) as unknown as [number, Uint8Array][];
    names.forEach(([parent, name], index) => {
      const directory = this.directory(parent);
      if (directory === undefined) return;
      facts.paths.push(directory.path + (bytes === undefined ? name : printName(bytes[index][1])));
      pinnedUntilMs = Math.max(pinnedUntilMs, directory.pinnedUntilMs);
    });
    return pinnedUntilMs;
  }

  /** The only name of an inode as `printName` writes it, where SQLite gave it as `text`. */
  printed(inode: number, text: string): string {
    return isPlain(text) ? text : printName(this.#bytesOf(inode));
  }

  /** The name of an inode that has one. */
  #bytesOf(inode: number): Uint8Array {
    return (this.#place.get(inode) as unknown as [number, Uint8Array])[1];
  }

  /** Times of its last uses, oldest first, milliseconds. */
  usesOf(inode: number): number[] {
    const row = this.#uses.get(inode) as unknown as [Uint8Array] | undefined;
    return row === undefined ? [] : unpackTimes(row[0]);
  }

  /** Until when the user has pinned this very inode; -Infinity: not. */
  #pinUntil(inode: number): number {
    const value = this.#pinText.get(inode, PIN_NAME) as unknown as [Uint8Array] | undefined;
    return pinUntil(value?.[0]);
  }

  /** Until when a file is pinned, itself or by a directory above one of its names; -Infinity: not. */
  pinnedUntil(inode: number): number {
    const pinned = this.#pinned.get(inode) as unknown as [number] | undefined;
    let until = pinned?.[0] === 1 ? this.#pinUntil(inode) : -Infinity;
    for (const [parent] of this.#names.all(inode) as unknown as [number, string][]) {
      until = Math.max(until, this.directory(parent)?.pinnedUntilMs ?? -Infinity);
    }
    return until;
  }

  /** Undefined: it is not below the root any more. */
  directory(inode: number): Directory | undefined {
    if (this.#lastDirectory?.inode === inode) return this.#lastDirectory.directory;
    const directory = this.#findDirectory(inode);
    this.#lastDirectory = { inode, directory };
    return directory;
  }

  #findDirectory(inode: number): Directory | undefined {
    if (this.#directories.has(inode)) return this.#directories.get(inode);
    const own = this.#pinned.get(inode) as unknown as [number] | undefined;
    let directory: Directory | undefined = { path: "/", pinnedUntilMs: -Infinity };
    if (inode !== 1) {
      const place = this.#place.get(inode) as unknown as [number, Uint8Array] | undefined;
      const parent = place === undefined ? undefined : this.#findDirectory(place[0]);
      directory = parent && {
        path: `${parent.path}${printName(place![1])}/`,
        pinnedUntilMs: parent.pinnedUntilMs,
      };
    }
    if (directory !== undefined && own?.[0] === 1) {
      directory.pinnedUntilMs = Math.max(directory.pinnedUntilMs, this.#pinUntil(inode));
    }
    if (this.#directories.size >= DIRECTORIES_CACHED) this.#directories.clear();
    this.#directories.set(inode, directory);
    return directory;
  }

  /** Extended attributes, as text. */
  attributes(inode: number): Record<string, string> {
    const rows = this.#xattrs.all(inode) as unknown as [Uint8Array, Uint8Array][];
    return Object.fromEntries(
      rows.map(([name, value]) => [printName(name), printName(value.subarray(0, XATTR_BYTES))]),
    );
  }
}

/**
 * Whether a name that SQLite gave as text is what `printName` would write: no control character, no
 * backslash, and nothing that was replaced because it is no UTF-8.
 */
function isPlain(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return !/[\x00-\x1f\x7f\\\ufffd]/.test(text);
}
