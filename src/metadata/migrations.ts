/**
 * Brings `metadata.db` from an older schema to this one. Promises: forward only, all steps in one
 * transaction, and a complete copy of the old file beside it before anything changes. A database
 * made by a newer program is never touched.
 */
import type { DatabaseSync } from "node:sqlite";
import { ExitCode, UserError } from "../domain/errors.ts";
import { SCHEMA_VERSION } from "./schema.ts";

/** One step, from schema version `from` to `from + 1`. Runs inside the transaction of all steps. */
export interface Migration {
  readonly from: number;
  readonly apply: (connection: DatabaseSync) => void;
}

/** All steps, oldest first. Schema 1 is the first that was ever released, so there is none yet. */
const migrations: readonly Migration[] = [];

/** The file that `migrate` leaves beside the database, to go back to by hand. */
export function backupPath(databasePath: string, version: number): string {
  return `${databasePath}.schema-${version}`;
}

/**
 * Migrates the open database at `path` from `version` to `target`. Throws UserError where it is
 * newer than this program, or where there is no way from `version` on.
 */
export function migrate(
  connection: DatabaseSync,
  { path, version, target = SCHEMA_VERSION, steps = migrations }: {
    path: string;
    version: number;
    target?: number;
    steps?: readonly Migration[];
  },
): void {
  if (version === target) return;
  if (version > target) refuseNewer(path, { version, target });
  const wanted: Migration[] = [];
  for (let from = version; from < target; from++) {
    const step = steps.find((candidate) => candidate.from === from);
    if (step === undefined) {
      throw new UserError(`${path} has schema ${version}, and there is no way from ${from} on`, {
        hint: "mount it once with an older zero that knows this schema",
        exitCode: ExitCode.refused,
      });
    }
    wanted.push(step);
  }
  // VACUUM INTO refuses to overwrite, so an earlier attempt that was cut short must go first.
  const backup = backupPath(path, version);
  try {
    Deno.removeSync(backup);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  connection.prepare("VACUUM INTO ?").run(backup);
  connection.exec("BEGIN IMMEDIATE");
  try {
    for (const step of wanted) step.apply(connection);
    connection.prepare("UPDATE setting SET value = ? WHERE name = 'schema_version'").run(target);
    connection.exec("COMMIT");
  } catch (error) {
    if (connection.isTransaction) connection.exec("ROLLBACK");
    throw error;
  }
}

function refuseNewer(
  path: string,
  { version, target }: { version: number; target: number },
): never {
  throw new UserError(
    `${path} was made by a newer zero (schema ${version}, this program knows ${target})`,
    { hint: "use that newer zero", exitCode: ExitCode.refused },
  );
}

/** A value of table `setting`. */
export function readSetting(connection: DatabaseSync, name: string): unknown {
  return connection.prepare("SELECT value FROM setting WHERE name = ?").get(name)?.value;
}

/**
 * Version of the schema. Throws UserError unless this program can use the database: as it is, or to be
 * written, once it is migrated.
 */
export function checkedVersion(
  connection: DatabaseSync,
  { path, readOnly }: { path: string; readOnly: boolean },
): number {
  const known = connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'setting'").get();
  const version = known === undefined ? undefined : readSetting(connection, "schema_version");
  if (typeof version !== "number") {
    throw new UserError(`${path} is not a database of zero`, {
      hint: "choose another cache directory",
      exitCode: ExitCode.refused,
    });
  }
  if (readOnly && version < SCHEMA_VERSION) {
    throw new UserError(
      `${path} has the older schema ${version}; this program reads ${SCHEMA_VERSION}`,
      {
        hint: "mount it once, which migrates it",
        exitCode: ExitCode.refused,
      },
    );
  }
  if (version > SCHEMA_VERSION) refuseNewer(path, { version, target: SCHEMA_VERSION });
  return version;
}
