/**
 * Files of which nothing is here, as far as some rule may match one: looked for by what the rules ask
 * for at least (prefilter_sql.ts), so that what no rule can match is passed over within SQLite, and
 * mostly without its name. In short reads, like every walk over a tree. Reads only.
 *
 * Three ways, each for the filters that it suits: through the directories that a glob speaks of, which
 * are few or found by their paths alone; through all inodes, where sizes or times say most; and through
 * all names in the order of their ids, which needs no index, where only the name says something.
 */
import type { NamePattern, Prefilter } from "../domain/prefilter.ts";
import type { MetadataDatabase } from "./database.ts";
import {
  columnsOf,
  FILE,
  GONE,
  NAME,
  type Row,
  USAGE,
  type Visit,
  visitRows,
  type WalkNeeds,
} from "./facts_columns.ts";
import type { FactsTable } from "./facts_table.ts";
import { type IdPage, IdPages } from "./id_pages.ts";
import { ALWAYS, anyOf, fileCondition, inodeCondition, nameCondition } from "./prefilter_sql.ts";

/** Directories of one read. */
const DIRECTORIES = 500;

const NAMED = "main.dentry d CROSS JOIN main.inode i ON i.id = d.inode";

/** Patterns of certain directories, and all others. */
const inPlaces = ({ names = [] }: Prefilter) => names.filter((each) => each.in !== undefined);
const anywhere = ({ names = [] }: Prefilter) => names.filter((each) => each.in === undefined);
/** Whether it is looked for through all inodes. */
const byNumber = (filter: Prefilter) =>
  filter.names === undefined || inodeCondition(filter) !== ALWAYS;

interface Search {
  needs: WalkNeeds;
  /** Those that are still looked for. */
  filters: () => readonly Prefilter[];
  visit: Visit;
}

export class AbsentSearch {
  readonly #database: MetadataDatabase;
  readonly #table: FactsTable;

  constructor(database: MetadataDatabase, table: FactsTable) {
    this.#database = database;
    this.#table = table;
  }

  /**
   * Tells of every regular file that has a name, of which nothing is here, and that passes one of the
   * filters, once or several times, in no order; and of some others. `filters` is asked again between
   * reads, and may say fewer each time.
   */
  files(needs: WalkNeeds, filters: () => readonly Prefilter[], visit: Visit): void {
    const search = (wanted: (filter: Prefilter) => boolean): Search => {
      return { needs, visit, filters: () => filters().filter(wanted) };
    };
    this.#inDirectories(search((each) => !byNumber(each) && inPlaces(each).length > 0));
    this.#throughInodes(search(byNumber));
    this.#throughNames(search((each) => !byNumber(each) && anywhere(each).length > 0));
  }

  #throughInodes(search: Search): void {
    const pages = new IdPages(this.#database, "main.inode").pages();
    this.#pagewise(search, { pages, sqlOf });

    function sqlOf(left: readonly Prefilter[]): string {
      // The first needs neither name nor usage: SQLite asks it before it looks for them.
      const whole = left.map((each) =>
        each.names === undefined
          ? fileCondition(each)
          : `(${fileCondition(each)} AND (i.nlink <> 1 OR ${nameCondition(each.names)}))`
      );
      return `main.inode i ${USAGE} ${NAME}
        WHERE i.id > ? AND i.id <= ? AND ${FILE} AND ${GONE}
          AND ${anyOf(left.map(inodeCondition))} AND ${anyOf(whole)}`;
    }
  }

  #throughNames(search: Search): void {
    const pages = new IdPages(this.#database, "main.dentry").pages();
    this.#pagewise(search, {
      pages,
      sqlOf: (left) =>
        `${NAMED} ${USAGE} WHERE d.id > ? AND d.id <= ?
          AND ${anyOf(left.map((each) => nameCondition(anywhere(each))))}
          AND ${FILE} AND ${GONE} AND ${anyOf(left.map(fileCondition))}`,
    });
  }

  /** Those of certain directories only: most are passed over by their paths. */
  #inDirectories(search: Search): void {
    const names = new IdPages(this.#database, "main.dentry", "parent = ?");
    const { filters } = search;
    for (const directory of this.#directories(() => filters().length > 0)) {
      const path = this.#table.directory(directory)?.path.slice(0, -1);
      if (path === undefined) continue;
      const meant = (filter: Prefilter): NamePattern[] =>
        inPlaces(filter).filter((each) => each.in!(path));
      const left = () => filters().filter((each) => meant(each).length > 0);
      if (left().length === 0) continue;
      this.#pagewise({ ...search, filters: left }, {
        pages: names.pages(directory),
        keys: [directory],
        sqlOf: (some) =>
          `${NAMED} ${USAGE} WHERE d.parent = ? AND d.id > ? AND d.id <= ?
            AND ${anyOf(some.map((each) => nameCondition(meant(each))))}
            AND ${FILE} AND ${GONE} AND ${anyOf(some.map(fileCondition))}`,
      });
    }
  }

  /** Every directory that is not empty, by the index of names: as many steps as there are of them. */
  *#directories(wanted: () => boolean): Generator<number> {
    const next = this.#database.arrayStatement(
      `WITH RECURSIVE p (id) AS (
         SELECT min(parent) FROM main.dentry WHERE parent > ?
         UNION ALL SELECT (SELECT min(parent) FROM main.dentry WHERE parent > p.id) FROM p
         WHERE p.id IS NOT NULL LIMIT ${DIRECTORIES}
       ) SELECT id FROM p WHERE id IS NOT NULL`,
    );
    for (let after = 0; wanted();) {
      const rows = next.all(after) as unknown as [number][];
      for (const [directory] of rows) {
        yield directory;
        if (!wanted()) return;
      }
      if (rows.length < DIRECTORIES) return;
      [after] = rows.at(-1)!;
    }
  }

  #pagewise(
    { needs, filters, visit }: Search,
    { pages, sqlOf, keys = [] }: {
      pages: Iterable<IdPage>;
      /** The rest of the statement, which takes the keys and the bounds of a page. */
      sqlOf: (left: readonly Prefilter[]) => string;
      keys?: number[];
    },
  ): void {
    if (filters().length === 0) return;
    const columns = columnsOf(needs, { here: false });
    for (const page of pages) {
      const left = filters();
      if (left.length === 0) return;
      const statement = this.#database.arrayStatement(`SELECT ${columns} FROM ${sqlOf(left)}`);
      const rows = statement.all(...keys, ...page) as unknown as Row[];
      visitRows(rows, { table: this.#table, needs, here: false }, visit);
    }
  }
}
