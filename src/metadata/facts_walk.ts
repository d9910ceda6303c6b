/**
 * The facts of every file, for answers about a whole tree: quick, and in short reads, so that whoever
 * writes to the database never waits. Reads as few columns as the question allows and gives one object
 * again and again; files that are not as nearly all are (dirty, pinned, several names) are read as
 * FactsTable reads them, and the facts are the same. Files of which nothing is here are only counted,
 * unless they are asked for. Reads only.
 */
import type { MetadataDatabase, Statement } from "./database.ts";
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

/** Of what is only in the bucket. */
export interface Absent {
  /** Files of which nothing is here. */
  files: number;
  /** Charges, those of files that are here in part as well. */
  bytes: number;
}

/** Inodes of one read: some milliseconds. */
const PAGE = 2_000;

/** Of files that are here at least in part, and of those that are not. */
const HERE = "(i.resident > 0 OR i.dirty = 1)";
const GONE = "i.resident = 0 AND i.dirty = 0";
const FILE = "i.mode & 61440 = 32768 AND i.nlink > 0";
/** Whether FactsTable has to look: its number comes negative then. */
const SPECIAL = "i.dirty OR i.pinned OR i.kept OR i.nlink <> 1 OR u.inode IS NULL";

type Row = (number | string | null)[];

export class FactsWalk {
  readonly #database: MetadataDatabase;
  readonly #table: FactsTable;
  readonly #bound: Statement;
  readonly #gone: Statement;
  readonly #bytes: Statement;
  readonly absent: Absent = { files: 0, bytes: 0 };

  constructor(database: MetadataDatabase, table: FactsTable) {
    this.#database = database;
    this.#table = table;
    this.#bound = database.arrayStatement(
      `SELECT id FROM main.inode WHERE id > ? ORDER BY id LIMIT 1 OFFSET ${PAGE - 1}`,
    );
    this.#gone = database.arrayStatement(
      `SELECT count(*) FROM main.inode i WHERE i.id > ? AND i.id <= ? AND ${FILE} AND ${GONE}`,
    );
    this.#bytes = database.arrayStatement("SELECT allocated - resident FROM main.total");
  }

  /** How many files are here, about. */
  expected(): number {
    const row = this.#database.arrayStatement("SELECT sum(files) FROM history.tally").get();
    return (row as unknown as [number | null])[0] ?? 0;
  }

  /**
   * Every regular file that has a name, and something of it here or dirty, in the order of numbers;
   * `allocated` is as `resident`, since what is not here is summed up in `absent` on the way. Each
   * object is good until the next one.
   */
  *here(needs: WalkNeeds): Generator<FactsRow> {
    this.absent.files = 0;
    [this.absent.bytes] = this.#bytes.get() as unknown as [number];
    const statement = this.#statement(needs, { here: true });
    for (const [from, to] of this.#pages()) {
      const rows = statement.all(from, to) as unknown as Row[];
      // Else every one of the inodes between is here.
      if (rows.length < PAGE) {
        this.absent.files += (this.#gone.get(from, to) as unknown as [number])[0];
      }
      yield* this.#read(rows, needs, { here: true });
    }
  }

  /** The same of those that `here` leaves out, as far as rules look at them. */
  *gone(needs: WalkNeeds): Generator<FactsRow> {
    const statement = this.#statement(needs, { here: false });
    for (const [from, to] of this.#pages()) {
      const rows = statement.all(from, to) as unknown as Row[];
      yield* this.#read(rows, needs, { here: false });
    }
  }

  *#pages(): Generator<[from: number, to: number]> {
    for (let from = 0;;) {
      const to = this.#bound.get(from) as unknown as [number] | undefined;
      yield [from, to?.[0] ?? Number.MAX_SAFE_INTEGER];
      if (to === undefined) return;
      [from] = to;
    }
  }

  *#read(rows: readonly Row[], needs: WalkNeeds, { here }: { here: boolean }): Generator<FactsRow> {
    const table = this.#table;
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
        yield whole;
        continue;
      }
      const directory = table.directory(row[1] as number);
      if (directory === undefined) continue;
      facts.inode = inode;
      facts.size = row[2] as number;
      facts.lastUsedMs = row[3] as number;
      // In the order of #statement.
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
      yield facts;
    }
  }

  #statement(
    { names, age, modified, owners, heat }: WalkNeeds,
    { here }: { here: boolean },
  ): Statement {
    const columns = [
      `iif(${SPECIAL}, -i.id, i.id), d.parent, i.size, u.last_used_ms`,
      ...(here ? ["i.resident, u.since_ms"] : []),
      ...(here || heat ? ["u.heat, u.heat_at_ms"] : []),
      ...(names ? ["CAST(d.name AS TEXT)"] : []),
      ...(modified ? ["i.changed_ms"] : []),
      ...(age ? ["i.btime_s * 1000 + i.btime_ns / 1000000"] : []),
      ...(owners ? ["i.uid, i.gid"] : []),
    ];
    return this.#database.arrayStatement(
      `SELECT ${columns.join(", ")} FROM main.inode i
       LEFT JOIN history.usage u ON u.inode = i.id
       LEFT JOIN main.dentry d ON d.inode = i.id AND i.nlink = 1
       WHERE i.id > ? AND i.id <= ? AND ${FILE} AND ${here ? HERE : GONE} ORDER BY i.id`,
    );
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
