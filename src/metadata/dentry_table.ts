/**
 * The `dentry` table: (parent, name) → inode. Owns its SQL. A row's id is its readdir cookie, so a
 * name that stays keeps its row, whatever inode it names.
 */
import type { MetadataDatabase, Statement } from "./database.ts";
import { ATTRIBUTE_COLUMNS, type AttributeTuple } from "./inode_table.ts";

export interface DentryRow {
  id: number;
  inode: number;
}

/**
 * A name in a listing: text where its bytes are UTF-8, else the bytes. Handing over a million small
 * buffers costs more than all the rest of a listing, and the collector has to run after them.
 */
export type ListedName = string | Uint8Array;

/** A name in a directory. `mode` is the st_mode of its inode. */
export interface NamedRow extends DentryRow {
  name: ListedName;
  mode: number;
}

/** A name with how much of its inode's content there is, and is here, in charges. */
export interface ContentRow extends NamedRow {
  allocated: number;
  resident: number;
  dirty: boolean;
}

/** A name with the attributes of its inode. */
export interface EntryRow {
  id: number;
  name: ListedName;
  attributes: AttributeTuple;
}

/** What stands in text for bytes that are no UTF-8; a name may also hold it by itself. */
const REPLACEMENT = "\ufffd";

export class DentryTable {
  readonly #find: Statement;
  readonly #lookup: Statement;
  readonly #insert: Statement;
  readonly #move: Statement;
  readonly #point: Statement;
  readonly #delete: Statement;
  readonly #parent: Statement;
  readonly #place: Statement;
  readonly #any: Statement;
  readonly #list: Statement;
  readonly #listContents: Statement;
  readonly #listEntries: Statement;
  readonly #bytes: Statement;

  constructor(database: MetadataDatabase) {
    this.#find = database.arrayStatement(
      "SELECT id, inode FROM dentry WHERE parent = ? AND name = ?",
    );
    this.#lookup = database.arrayStatement(
      `SELECT ${ATTRIBUTE_COLUMNS}, d.id FROM dentry d JOIN inode i ON i.id = d.inode
       WHERE d.parent = ? AND d.name = ?`,
    );
    this.#insert = database.statement("INSERT INTO dentry (parent, name, inode) VALUES (?, ?, ?)");
    this.#move = database.statement("UPDATE dentry SET parent = ?2, name = ?3 WHERE id = ?1");
    this.#point = database.statement("UPDATE dentry SET inode = ?2 WHERE id = ?1");
    this.#delete = database.statement("DELETE FROM dentry WHERE id = ?");
    this.#parent = database.arrayStatement("SELECT parent FROM dentry WHERE inode = ? LIMIT 1");
    this.#place = database.arrayStatement(
      "SELECT parent, name, id FROM dentry WHERE inode = ? LIMIT 1",
    );
    this.#any = database.arrayStatement("SELECT 1 FROM dentry WHERE parent = ? LIMIT 1");
    // The index on (parent, id) is named, or the planner might sort a large directory for each slice.
    this.#list = database.arrayStatement(
      `SELECT d.id, CAST(d.name AS TEXT), d.inode, i.mode FROM dentry d INDEXED BY dentry_cookie
       CROSS JOIN inode i ON i.id = d.inode WHERE d.parent = ? AND d.id > ? ORDER BY d.id LIMIT ?`,
    );
    this.#listContents = database.arrayStatement(
      `SELECT d.id, CAST(d.name AS TEXT), d.inode, i.mode, i.allocated, i.resident, i.dirty
       FROM dentry d INDEXED BY dentry_cookie
       CROSS JOIN inode i ON i.id = d.inode WHERE d.parent = ? AND d.id > ? ORDER BY d.id LIMIT ?`,
    );
    this.#listEntries = database.arrayStatement(
      `SELECT ${ATTRIBUTE_COLUMNS}, d.id, CAST(d.name AS TEXT)
       FROM dentry d INDEXED BY dentry_cookie
       CROSS JOIN inode i ON i.id = d.inode WHERE d.parent = ? AND d.id > ? ORDER BY d.id LIMIT ?`,
    );
    this.#bytes = database.arrayStatement("SELECT name FROM dentry WHERE id = ?");
  }

  find(parent: number, name: Uint8Array): DentryRow | undefined {
    const row = this.#find.get(parent, name) as unknown as [number, number] | undefined;
    return row === undefined ? undefined : { id: row[0], inode: row[1] };
  }

  /** The entry of a name, and the attributes of its inode, in one query. */
  lookup(
    parent: number,
    name: Uint8Array,
  ): { id: number; attributes: AttributeTuple } | undefined {
    const row = this.#lookup.get(parent, name) as unknown as AttributeTuple | undefined;
    return row === undefined ? undefined : { id: row[row.length - 1] as number, attributes: row };
  }

  /** Adds an entry and returns its id, which no entry ever had. */
  insert(parent: number, name: Uint8Array, inode: number): number {
    return this.#insert.run(parent, name, inode).lastInsertRowid as number;
  }

  /** Gives an entry another place. It keeps its cookie, so a reader that renames as it goes comes to an end. */
  move(id: number, parent: number, name: Uint8Array): void {
    this.#move.run(id, parent, name);
  }

  /** Lets an existing name stand for another inode: readers of the directory see the name exactly once. */
  point(id: number, inode: number): void {
    this.#point.run(id, inode);
  }

  delete(id: number): void {
    this.#delete.run(id);
  }

  /** A directory that holds the inode: for a directory, its one parent. Undefined for the root and the nameless. */
  parentOf(inode: number): number | undefined {
    return (this.#parent.get(inode) as unknown as [number] | undefined)?.[0];
  }

  /** One of the inode's names. */
  placeOf(inode: number): { parent: number; name: Uint8Array; id: number } | undefined {
    const row = this.#place.get(inode) as unknown as [number, Uint8Array, number] | undefined;
    return row === undefined ? undefined : { parent: row[0], name: row[1], id: row[2] };
  }

  isEmpty(parent: number): boolean {
    return this.#any.get(parent) === undefined;
  }

  /** Up to `limit` names after the cookie `after`, in the order of their cookies. */
  list(parent: number, { after, limit }: { after: number; limit: number }): NamedRow[] {
    const rows = this.#list.all(parent, after, limit) as unknown as [
      number,
      string,
      number,
      number,
    ][];
    return rows.map(([id, text, inode, mode]) => ({ id, name: this.#name(id, text), inode, mode }));
  }

  /** The same with content, as it is written down. */
  listContents(
    parent: number,
    { after, limit }: { after: number; limit: number },
  ): ContentRow[] {
    const rows = this.#listContents.all(parent, after, limit) as unknown as [
      number,
      string,
      number,
      number,
      number,
      number,
      number,
    ][];
    return rows.map(([id, text, inode, mode, allocated, resident, dirty]) => ({
      id,
      name: this.#name(id, text),
      inode,
      mode,
      allocated,
      resident,
      dirty: dirty === 1,
    }));
  }

  /** The same with attributes. */
  listEntries(parent: number, { after, limit }: { after: number; limit: number }): EntryRow[] {
    const rows = this.#listEntries.all(parent, after, limit) as unknown as AttributeTuple[];
    return rows.map((row) => {
      const id = row[row.length - 2] as number;
      return { id, name: this.#name(id, row[row.length - 1] as string), attributes: row };
    });
  }

  /** The name of an entry that SQLite gave as `text`, which may not be all that its bytes are. */
  #name(id: number, text: string): ListedName {
    if (!text.includes(REPLACEMENT)) return text;
    return (this.#bytes.get(id) as unknown as [Uint8Array])[0];
  }
}
