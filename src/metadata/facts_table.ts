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

interface Row {
  id: number;
  generation: number;
  size: number;
  allocated: number;
  resident: number;
  local: number;
  dirty: number;
  pinned: number;
  kept: number;
  changed_ms: number;
  created: number;
  uid: number;
  gid: number;
  nlink: number;
  last_used_ms: number | null;
  heat: number | null;
  heat_at_ms: number | null;
  uses: Uint8Array | null;
  since_ms: number | null;
  recalled_by: string | null;
  stamp: number | null;
}

interface Directory {
  /** With a slash at its end. */
  path: string;
  /** Until when all below it is pinned, milliseconds; -Infinity: not. */
  pinnedUntilMs: number;
}

const DIRECTORIES_CACHED = 20_000;
/** Longest value of an attribute that is compared. */
const XATTR_BYTES = 1024;

const SELECT =
  `SELECT i.id, i.generation, i.size, i.allocated, i.resident, i.local, i.dirty, i.pinned, i.kept, i.changed_ms,
     i.btime_s * 1000 + i.btime_ns / 1000000 AS created, i.uid, i.gid, i.nlink,
     u.last_used_ms, u.heat, u.heat_at_ms, u.uses, u.since_ms, u.recalled_by, u.stamp
   FROM main.inode i LEFT JOIN history.usage u ON u.inode = i.id`;

export class FactsTable {
  readonly #one: Statement;
  readonly #page: Statement;
  readonly #names: Statement;
  readonly #pinned: Statement;
  readonly #pinText: Statement;
  readonly #unverified: Statement;
  readonly #xattrs: Statement;
  readonly #directories = new Map<number, Directory | undefined>();
  epoch = 0;

  constructor(database: MetadataDatabase) {
    this.#one = database.statement(`${SELECT} WHERE i.id = ? AND i.mode & 61440 = 32768`);
    this.#page = database.statement(
      `${SELECT} WHERE i.id > ? AND i.mode & 61440 = 32768 AND i.nlink > 0 ORDER BY i.id LIMIT ?`,
    );
    this.#names = database.arrayStatement("SELECT parent, name FROM main.dentry WHERE inode = ?");
    this.#pinned = database.arrayStatement("SELECT pinned FROM main.inode WHERE id = ?");
    this.#pinText = database.arrayStatement(
      "SELECT value FROM main.xattr WHERE inode = ? AND name = ?",
    );
    this.#unverified = database.arrayStatement(
      `SELECT 1 FROM main.map m JOIN main.chunk c ON c.id = m.chunk JOIN main.pack p ON p.id = c.pack
       WHERE m.inode = ? AND (p.verified = 0 OR c.lost = 1) LIMIT 1`,
    );
    this.#xattrs = database.arrayStatement("SELECT name, value FROM main.xattr WHERE inode = ?");
  }

  /** A directory has been renamed or pinned: what is known of those below it may be wrong. */
  forgetDirectories(): void {
    this.epoch++;
    this.#directories.clear();
  }

  /** Undefined: gone, nameless, or no regular file. */
  get(inode: number, needs: FactNeeds): FactsRow | undefined {
    const row = this.#one.get(inode) as unknown as Row | undefined;
    return row === undefined ? undefined : this.#facts(row, needs);
  }

  /** Regular files with a name in the order of their numbers, after one. */
  page(
    { after, limit, needs }: { after: number; limit: number; needs: FactNeeds },
  ): { facts: FactsRow[]; next: number | undefined } {
    const rows = this.#page.all(after, limit) as unknown as Row[];
    const facts = rows.flatMap((row) => this.#facts(row, needs) ?? []);
    return { facts, next: rows.length < limit ? undefined : rows[rows.length - 1].id };
  }

  #facts(row: Row, needs: FactNeeds): FactsRow | undefined {
    const paths: string[] = [];
    let pinnedUntilMs = row.pinned === 1 ? this.#pinUntil(row.id) : -Infinity;
    for (const [parent, name] of this.#names.all(row.id) as unknown as [number, Uint8Array][]) {
      const directory = this.#directory(parent);
      if (directory === undefined) continue;
      paths.push(directory.path + textOf(name));
      pinnedUntilMs = Math.max(pinnedUntilMs, directory.pinnedUntilMs);
    }
    if (paths.length === 0) return undefined;
    const createdMs = Math.floor(row.created);
    const facts: FactsRow = {
      inode: row.id,
      generation: row.generation,
      stamp: row.stamp ?? 0,
      epoch: this.epoch,
      kept: row.kept === 1,
      paths,
      size: row.size,
      allocated: row.allocated,
      resident: row.resident,
      local: row.local,
      dirty: row.dirty === 1,
      open: false,
      writing: false,
      confirmed: row.resident === 0 || this.#unverified.get(row.id) === undefined,
      createdMs,
      residentSinceMs: row.since_ms ?? createdMs,
      lastUsedMs: row.last_used_ms ?? createdMs,
      changedMs: row.changed_ms,
      heat: row.heat ?? 1,
      heatAtMs: row.heat_at_ms ?? createdMs,
      uid: row.uid,
      gid: row.gid,
      links: row.nlink,
    };
    if (pinnedUntilMs === Infinity) facts.pin = {};
    else if (pinnedUntilMs > -Infinity) facts.pin = { untilMs: pinnedUntilMs };
    if (row.recalled_by !== null) facts.recalledBy = row.recalled_by;
    if (needs.uses) facts.uses = row.uses === null ? [] : unpackTimes(row.uses);
    if (needs.xattrs) facts.xattrs = this.#attributes(row.id);
    return facts;
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
    for (const [parent] of this.#names.all(inode) as unknown as [number, Uint8Array][]) {
      until = Math.max(until, this.#directory(parent)?.pinnedUntilMs ?? -Infinity);
    }
    return until;
  }

  /** Undefined: it is not below the root any more. */
  #directory(inode: number): Directory | undefined {
    if (this.#directories.has(inode)) return this.#directories.get(inode);
    const own = this.#pinned.get(inode) as unknown as [number] | undefined;
    let directory: Directory | undefined = { path: "/", pinnedUntilMs: -Infinity };
    if (inode !== 1) {
      const place = this.#names.get(inode) as unknown as [number, Uint8Array] | undefined;
      const parent = place === undefined ? undefined : this.#directory(place[0]);
      directory = parent && {
        path: `${parent.path}${textOf(place![1])}/`,
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

  #attributes(inode: number): Record<string, string> {
    const rows = this.#xattrs.all(inode) as unknown as [Uint8Array, Uint8Array][];
    return Object.fromEntries(
      rows.map(([name, value]) => [textOf(name), textOf(value.subarray(0, XATTR_BYTES))]),
    );
  }

  /** All regular files at the mount, a page at a time, each page in a read transaction of its own. */
  *all(needs: FactNeeds): Iterable<FactsRow> {
    for (let after: number | undefined = 0; after !== undefined;) {
      const page: { facts: FactsRow[]; next: number | undefined } = this.page({
        after,
        limit: 2_000,
        needs,
      });
      yield* page.facts;
      after = page.next;
    }
  }
}

const latin = new TextDecoder("latin1");

/** As `printName`; most names are plain ASCII, which is quick. */
function textOf(bytes: Uint8Array): string {
  for (const byte of bytes) {
    if (byte < 0x20 || byte > 0x7e || byte === 0x5c) return printName(bytes);
  }
  return latin.decode(bytes);
}
