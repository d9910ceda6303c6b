/** A new file system: its tables, its settings and an empty root directory, in one durable transaction. */
import type { DatabaseSync } from "node:sqlite";
import { ExitCode, UserError } from "../domain/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { METADATA_SCHEMA, SCHEMA_VERSION } from "./schema.ts";

export interface CreateOptions {
  /** The cache directory, which exists and holds no database; or `:memory:`. */
  directory: string;
  fileSystemId: string;
  /** Bytes per chunk, fixed for ever. */
  chunkSize: number;
  /** URL of the bucket, without credentials. */
  store: string;
  clock: Clock;
  /** Owner and permission bits of the root directory; root:root 0755 unless given. */
  root?: { uid: number; gid: number; mode: number };
  /** As in `open`. */
  grouped?: boolean;
}

/** Fills the empty database `connection`. Throws UserError where it is not empty. */
export function fillNew(connection: DatabaseSync, options: CreateOptions): void {
  const { directory, clock } = options;
  // A file that a cut-short attempt left behind is empty: the schema lands in one transaction.
  if (connection.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() !== undefined) {
    throw new UserError(`${directory} already holds a file system`, {
      hint: "mount it, or choose an empty cache directory",
      exitCode: ExitCode.refused,
    });
  }
  const root = options.root ?? { uid: 0, gid: 0, mode: 0o755 };
  const { seconds, nanoseconds } = clock.now();
  connection.exec("PRAGMA synchronous = FULL");
  connection.exec("BEGIN");
  connection.exec(METADATA_SCHEMA);
  const set = connection.prepare("INSERT INTO setting (name, value) VALUES (?, ?)");
  set.run("schema_version", SCHEMA_VERSION);
  set.run("file_system_id", options.fileSystemId);
  set.run("chunk_size", options.chunkSize);
  set.run("store", options.store);
  set.run("created_ms", Math.floor(clock.wallMs()));
  set.run("generation_reserved", 1);
  set.run("clean", 0);
  connection.prepare(
    `INSERT INTO inode (id, mode, uid, gid, nlink, size,
       atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns)
     VALUES (1, ?1, ?2, ?3, 2, 4096, ?4, ?5, ?4, ?5, ?4, ?5, ?4, ?5)`,
  ).run(0o040000 | root.mode, root.uid, root.gid, seconds, nanoseconds);
  // Cookies 1 and 2 belong to "." and "..".
  connection.exec("INSERT INTO sqlite_sequence (name, seq) VALUES ('dentry', 2)");
  connection.exec("COMMIT");
  connection.exec("PRAGMA synchronous = NORMAL");
}
