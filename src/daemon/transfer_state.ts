/**
 * The place where an export or import keeps what is not complete yet: a directory in its target. Owns the
 * lock that keeps two of them apart, and the parts of files. It goes away when all is done; where it is
 * found, one was interrupted, and goes on from there.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { ExitCode, UserError } from "../domain/errors.ts";
import * as libc from "../runtime/libc.ts";

/** Name of the directory. A source that has this name where it is taken from is refused. */
export type StateName = ".zero-export" | ".zero-import";

interface Written {
  /** What is taken: a file system's id, or a directory. */
  source: string;
  /** The target was made for this, or was empty: it takes the attributes of what it mirrors. */
  ownRoot: boolean;
}

export class TransferState {
  readonly ownRoot: boolean;
  readonly #directory: string;
  readonly #lock: number;

  private constructor(directory: string, options: { lock: number; ownRoot: boolean }) {
    this.#directory = directory;
    this.#lock = options.lock;
    this.ownRoot = options.ownRoot;
  }

  /** Makes the target where there is none, and begins or goes on. Throws UserError. */
  static open(
    to: string,
    { source, name }: { source: string; name: StateName },
  ): TransferState {
    const empty = makeDirectory(to);
    const directory = `${to}/${name}`;
    const made = libc.mkdir(directory, 0o700);
    if (made < 0 && made !== -Errno.EEXIST) throw cannot(directory, made);
    const lock = libc.open(
      `${directory}/lock`,
      libc.O.RDWR | libc.O.CREAT | libc.O.NOFOLLOW,
      0o600,
    );
    if (lock < 0) throw cannot(`${directory}/lock`, lock);
    try {
      const locked = libc.flock(lock, libc.LOCK.EX | libc.LOCK.NB);
      if (locked === -Errno.EAGAIN) {
        throw refused(`another ${name.slice(6)} into ${to} is running`, "wait until it ends");
      }
      if (locked < 0) throw cannot(`${directory}/lock`, locked);
      const known = readState(`${directory}/state.json`);
      if (known !== undefined && known.source !== source) {
        throw refused(
          `${to} holds the beginning of an ${name.slice(6)} of ${known.source}`,
          `choose another directory, or remove ${directory}`,
        );
      }
      const state = known ?? { source, ownRoot: empty };
      Deno.writeTextFileSync(`${directory}/state.json`, JSON.stringify(state));
      return new TransferState(directory, { lock, ownRoot: state.ownRoot });
    } catch (error) {
      libc.close(lock);
      throw error;
    }
  }

  /** Where the bytes of a file gather until all are there. Another content has another place. */
  part(file: { inode: number; generation: number | string }): Uint8Array {
    return new TextEncoder().encode(`${this.#directory}/${file.inode}.${file.generation}.part`);
  }

  /** `finished`: there is nothing left to go on with. */
  close({ finished }: { finished: boolean }): void {
    if (finished) Deno.removeSync(this.#directory, { recursive: true });
    libc.close(this.#lock);
  }
}

/** True where the directory is new or empty. */
function makeDirectory(path: string): boolean {
  try {
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
    for (const _ of Deno.readDirSync(path)) return false;
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`${path} cannot be used: ${why}`, {
      hint: "name a directory that may be written to",
      cause: error,
    });
  }
}

function readState(path: string): Written | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(path));
  } catch (error) {
    // Begun and interrupted at once.
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function cannot(path: string, result: number): UserError {
  return new UserError(`${path} cannot be made: ${errnoName(-result)}`, {
    hint: "is there room, and permission to write?",
  });
}

function refused(message: string, hint: string): UserError {
  return new UserError(message, { hint, exitCode: ExitCode.refused });
}
