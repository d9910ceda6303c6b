/**
 * Which directory store this is: a marker file with a random identity.
 *
 * A directory on a disk that is not mounted looks empty. Without the marker that would read as "all
 * objects are gone"; with it, everything in a place without the right marker is `no-bucket`. The
 * marker is created in an empty directory only, and only when the caller asked for that.
 */
import { constants } from "node:fs";
import { mkdir, open, readdir, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hex, type Random } from "../runtime/random.ts";
import { ownDirectory } from "./directory_paths.ts";
import { StoreError } from "./object_store.ts";

/** The `code` of an error from the operating system, such as `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The store's directory, as it was mounted when it was opened. */
export interface HeldRoot {
  /** Leads into that directory, whatever is mounted or unmounted in its place meanwhile. */
  readonly path: string;
  close(): Promise<void>;
}

/** The identity written in the marker below `root`; undefined where there is no marker. */
async function readIdentity(root: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(join(root, ownDirectory, "identity"), {
      encoding: "utf8",
      flag: constants.O_RDONLY | constants.O_NOFOLLOW,
    });
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  const match = /^zero directory store 1 ([0-9a-f]{32})\n$/.exec(text);
  return match === null ? undefined : match[1];
}

export class DirectoryIdentity {
  #known: string | undefined;
  constructor(private readonly root: string) {}

  /**
   * Throws StoreError `no-bucket` where the directory is not the store that it was, or none. `path`: by
   * which way to look.
   */
  async check(operation: string, path = this.root): Promise<void> {
    const found = await readIdentity(path);
    if (found === undefined) {
      throw new StoreError(
        "no-bucket",
        `${operation}: ${this.root} is no store: it does not exist, its disk is not mounted, ` +
          `or no file system was created in it`,
      );
    }
    this.#known ??= found;
    if (this.#known !== found) {
      throw new StoreError(
        "no-bucket",
        `${operation}: ${this.root} is another store now (${found}, was ${this.#known})`,
      );
    }
  }

  /**
   * Opens the directory and checks that it is the store. What is looked for below the answer's path is
   * looked for in this very store: a disk that goes and comes back between two looks at the root would
   * be empty at the one and right at the other. Throws as `check`; the caller closes.
   */
  async hold(operation: string): Promise<HeldRoot> {
    const handle = await open(this.root, constants.O_RDONLY | constants.O_DIRECTORY)
      .catch(async (error) => {
        await this.check(operation);
        throw error;
      });
    const held = { path: `/proc/self/fd/${handle.fd}`, close: () => handle.close() };
    try {
      await this.check(operation, held.path);
    } catch (error) {
      await held.close();
      throw error;
    }
    return held;
  }

  /**
   * Makes an empty or absent directory a store; one that is a store already stays as it is. Its
   * parent must exist. Throws StoreError `invalid` where the directory holds other files.
   */
  async create(random: Random): Promise<void> {
    if (await readIdentity(this.root) !== undefined) return;
    await mkdir(this.root, { mode: 0o700 }).catch(unlessThere);
    await syncDirectory(dirname(this.root));
    // lost+found is what a fresh file system holds; our own directory, what an earlier try left.
    const foreign = (await readdir(this.root))
      .filter((name) => name !== "lost+found" && name !== ownDirectory);
    if (foreign.length > 0) {
      throw new StoreError(
        "invalid",
        `${this.root} is not empty and is no store of Zero (it holds ${foreign[0]})`,
      );
    }
    const own = join(this.root, ownDirectory);
    await mkdir(own, { mode: 0o700 }).catch(unlessThere);
    await mkdir(join(own, "tmp"), { mode: 0o700 }).catch(unlessThere);
    const draft = join(own, `identity.${hex(random.bytes(8))}`);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const handle = await open(draft, flags, 0o600);
    try {
      await handle.writeFile(`zero directory store 1 ${hex(random.bytes(16))}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, join(own, "identity"));
    await syncDirectory(own);
    await syncDirectory(this.root);
  }
}

function unlessThere(error: unknown): void {
  if (codeOf(error) !== "EEXIST") throw error;
}
