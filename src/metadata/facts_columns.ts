/**
 * Rows of a walk over a whole tree as facts: which columns a question needs, and one object whose values
 * are replaced row by row. Files that are not as nearly all are (dirty, pinned, several names) are read
 * as FactsTable reads them, and the facts are the same. Reads only.
 */
import type { FactNeeds, FactsRow, FactsTable } from "./facts_table.ts";

/** What a question looks at beside what every judgement needs. */
export interface WalkNeeds extends FactNeeds {
  /** Names: without, paths are empty. */
  names: boolean;
  owners: boolean;
  /** When it was created, and changed. */
  age: boolean;
  modified: boolean;
  /** Of files that are not here: how hot they are. */
  heat: boolean;
}

/** What several questions look at. */
export const mergeNeeds = (all: readonly WalkNeeds[]): WalkNeeds => ({
  uses: all.some((each) => each.uses),
  xattrs: all.some((each) => each.xattrs),
  names: all.some((each) => each.names),
  owners: all.some((each) => each.owners),
  age: all.some((each) => each.age),
  modified: all.some((each) => each.modified),
  heat: all.some((each) => each.heat),
});

/** Rows of one read: some milliseconds. */
export const PAGE = 2_000;

export const FILE = "i.mode & 61440 = 32768 AND i.nlink > 0";
/** Files that are here at least in part, and those that are not. */
export const HERE = "(i.resident > 0 OR i.dirty = 1)";
export const GONE = "i.resident = 0 AND i.dirty = 0";
export const USAGE = "LEFT JOIN history.usage u ON u.inode = i.id";
/** Of files with one name. */
export const NAME = "LEFT JOIN main.dentry d ON d.inode = i.id AND i.nlink = 1";
/** Whether FactsTable has to look: its number comes negative then. */
const SPECIAL = "i.dirty OR i.pinned OR i.kept OR i.nlink <> 1 OR u.inode IS NULL";

export type Row = (number | string | null)[];

/** Of an inode `i`, its usage `u` and its name `d`, in the order that `visitRows` reads. */
export function columnsOf(
  { names, age, modified, owners, heat }: WalkNeeds,
  { here }: { here: boolean },
): string {
  return [
    `iif(${SPECIAL}, -i.id, i.id), d.parent, i.size, u.last_used_ms`,
    ...(here ? ["i.resident, u.since_ms"] : []),
    ...(here || heat ? ["u.heat, u.heat_at_ms"] : []),
    ...(names ? ["CAST(d.name AS TEXT)"] : []),
    ...(modified ? ["i.changed_ms"] : []),
    ...(age ? ["i.btime_s * 1000 + i.btime_ns / 1000000"] : []),
    ...(owners ? ["i.uid, i.gid"] : []),
  ].join(", ");
}

/** Told of one file after the other; the object is good until `visit` returns. */
export type Visit = (facts: FactsRow) => void;

/**
 * Tells the files of such rows, as far as they have a place below the root. Not a generator: those
 * through which each file would be handed on took a tenth of a whole answer.
 */
export function visitRows(
  rows: readonly Row[],
  { table, needs, here }: { table: FactsTable; needs: WalkNeeds; here: boolean },
  visit: Visit,
): void {
  const { doubtful } = table;
  const facts = blank(table.epoch);
  const { names, age, modified, owners, uses, xattrs, heat } = needs;
  const cooling = here || heat;
  for (const row of rows) {
    const inode = row[0] as number;
    if (inode < 0) {
      const whole = table.get(-inode, needs);
      if (whole === undefined) continue;
      whole.allocated = whole.resident;
      visit(whole);
      continue;
    }
    const directory = table.directory(row[1] as number);
    if (directory === undefined) continue;
    facts.inode = inode;
    facts.size = row[2] as number;
    facts.lastUsedMs = row[3] as number;
    // In the order of columnsOf.
    let column = 4;
    if (here) {
      facts.resident = facts.allocated = row[column++] as number;
      facts.residentSinceMs = row[column++] as number;
      facts.open = facts.writing = false;
      facts.confirmed = !doubtful || facts.resident === 0 || table.confirmed(inode);
      facts.pin = directory.pinnedUntilMs === -Infinity
        ? undefined
        : directory.pinnedUntilMs === Infinity
        ? {}
        : { untilMs: directory.pinnedUntilMs };
    }
    if (cooling) {
      facts.heat = row[column++] as number;
      facts.heatAtMs = row[column++] as number;
    }
    if (names) facts.paths[0] = directory.path + table.printed(inode, row[column++] as string);
    if (modified) facts.changedMs = row[column++] as number;
    if (age) facts.createdMs = Math.floor(row[column++] as number);
    if (owners) {
      facts.uid = row[column++] as number;
      facts.gid = row[column] as number;
    }
    if (uses) facts.uses = table.usesOf(inode);
    if (xattrs) facts.xattrs = table.attributes(inode);
    visit(facts);
  }
}

/** One object, whose values are replaced; of one shape with those of FactsTable where it matters. */
const blank = (epoch: number): FactsRow => ({
  inode: 0,
  generation: 0,
  stamp: 0,
  epoch,
  kept: false,
  paths: [""],
  size: 0,
  allocated: 0,
  resident: 0,
  local: 0,
  dirty: false,
  open: false,
  writing: false,
  confirmed: true,
  pin: undefined,
  createdMs: 0,
  residentSinceMs: 0,
  lastUsedMs: 0,
  changedMs: 0,
  heat: 1,
  heatAtMs: 0,
  uid: 0,
  gid: 0,
  links: 1,
});
