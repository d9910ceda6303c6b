/**
 * After an unclean end: content files that no row names are garbage (law 7), left by an eviction,
 * a deletion or a creation that was cut short. Looks folder by folder, in slices, and unlinks them.
 */
import { parseContentName } from "../content/content_path.ts";
import type { Core } from "./core.ts";
import type { BackgroundJob } from "./reaper.ts";

const NAMES_PER_SLICE = 512;

export class ContentSweep {
  readonly #core: Core;
  readonly #folders: string[] = [];
  #names: string[] = [];
  #folder = "";
  #started = false;
  /** Inodes made after the sweep began are not its business. */
  #newest = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  job(): BackgroundJob {
    return () => this.#slice();
  }

  #list(path: string): string[] {
    return [...Deno.readDirSync(path)].map((entry) => entry.name);
  }

  #slice(): boolean {
    const directory = this.#core.store.directory;
    if (!this.#started) {
      this.#started = true;
      const row = this.#core.database.statement("SELECT max(id) AS id FROM inode").get() as {
        id: number;
      };
      this.#newest = row.id;
      for (const top of this.#list(directory).filter(isFolder)) {
        const leaves = this.#list(`${directory}/${top}`).filter(isFolder);
        for (const leaf of leaves) this.#folders.push(`${directory}/${top}/${leaf}`);
      }
      return true;
    }
    if (this.#names.length === 0) {
      const folder = this.#folders.pop();
      if (folder === undefined) return false;
      this.#folder = folder;
      this.#names = this.#list(folder);
    }
    const garbage: string[] = [];
    for (const name of this.#names.splice(0, NAMES_PER_SLICE)) {
      if (this.#isGarbage(name)) garbage.push(`${this.#folder}/${name}`);
      else this.#removeNewer(name);
    }
    if (garbage.length > 0) this.#unlink(garbage);
    return true;
  }

  /** Rows that do not name these files become durable first: an eviction or deletion may be under way. */
  #unlink(paths: string[]): void {
    const core = this.#core;
    const done = (errno: number) => {
      core.space.forgetReading();
      if (errno === 0) return;
      core.emit({ event: "defect", message: `sweeping content failed with errno ${errno}` });
    };
    core.helper.sync({ files: [], folders: [], wal: true }, (errno) => {
      if (errno === 0) return core.helper.unlink(paths, done);
      core.syncFailed(errno, "the metadata");
      done(errno);
    });
  }

  /** Older incarnations, and inodes that are gone, are never named again: what is garbage stays it. */
  #isGarbage(name: string): boolean {
    const parsed = parseContentName(name);
    if (parsed === undefined || parsed.inode > this.#newest) return false;
    const inode = this.#core.inodes.get(parsed.inode);
    return inode === undefined || inode.incarnation > parsed.incarnation;
  }

  /** A name that the inode has yet to come to may be in use before another thread gets to it: it goes now. */
  #removeNewer(name: string): void {
    const parsed = parseContentName(name);
    if (parsed === undefined || parsed.inode > this.#newest) return;
    const inode = this.#core.inodes.get(parsed.inode);
    if (inode === undefined || inode.incarnation >= parsed.incarnation) return;
    this.#core.store.remove(parsed.inode, parsed.incarnation);
  }
}

const isFolder = (name: string) => /^[0-9a-f]{2}$/.test(name);
