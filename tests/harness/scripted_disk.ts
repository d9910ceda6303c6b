/**
 * A disk helper whose every order waits until the test carries it out, and which knows what a power
 * cut would leave. Fault model:
 * - an order may fail with an errno; then nothing of it is durable;
 * - what a sync promises is what was there when it was ordered; anything later may, but need not be on
 *   the disk after a power cut, page by page; of the write-ahead log any prefix beyond what was synced;
 * - a file whose folder was never synced may be missing, and so may be all of a folder whose own entry
 *   was not; an unlinked one may be back.
 */
import type { ContentFile, ContentStore } from "../../src/content/content_store.ts";
import type { DiskHelper, SyncJob } from "../../src/filesystem/disk_helper.ts";
import type { SeededRandom } from "./seeded_random.ts";

const PAGE = 4096;

interface Order {
  /** Such as `sync 5.1 folder wal`, `unlink 5.1`, `syncAll`, `checkpoint`. */
  readonly label: string;
  readonly run: (errno: number) => void;
}

interface Durable {
  bytes: Uint8Array;
  /** When the bytes were looked at: an earlier sync that is done later takes nothing back. */
  order: number;
  /** The folder's entry is on the disk. */
  entry: boolean;
}

const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/"));
const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);

export class ScriptedDisk implements DiskHelper {
  /** Orders that wait, oldest first. */
  readonly waiting: Order[] = [];
  /** Labels of what was carried out, in order. */
  readonly log: string[] = [];
  /** The errno an order fails with, by its label; 0: it works. */
  fault: (label: string) => number = () => 0;
  readonly #store: ContentStore;
  readonly #walPath: string;
  /** By path, as a power cut would leave it at least. */
  readonly #durable = new Map<string, Durable>();
  /** Folders whose own entries are on the disk. */
  readonly #folders = new Set<string>();
  #walBytes = 0;
  #orders = 0;

  constructor(options: { store: ContentStore; walPath: string }) {
    this.#store = options.store;
    this.#walPath = options.walPath;
    this.assumeDurable();
  }

  /** Everything that is there now is on the disk. */
  assumeDurable(): void {
    this.#durable.clear();
    for (const path of contentFiles(this.#store.directory)) {
      this.#durable.set(path, { bytes: Deno.readFileSync(path), order: 0, entry: true });
      this.#foldersReached(path);
    }
    this.#walBytes = sizeOf(this.#walPath);
  }

  sync(job: SyncJob, done: (errno: number) => void): void {
    const synced = job.files.map((file) => ({ path: this.#pathOf(file), bytes: this.#read(file) }));
    const entries = job.folders.flatMap((folder) =>
      namesIn(folder).map((name) => `${folder}/${name}`)
    );
    const walBytes = job.wal ? sizeOf(this.#walPath) : 0;
    const order = ++this.#orders;
    for (const file of job.files) this.#store.hold(file);
    const parts = ["sync", ...synced.map(({ path }) => nameOf(path))];
    if (job.folders.length > 0) parts.push("folder");
    if (job.wal) parts.push("wal");
    this.#order(parts.join(" "), (errno) => {
      for (const file of job.files) this.#store.release(file);
      if (errno === 0) {
        for (const { path, bytes } of synced) this.#reached(path, { bytes, order });
        for (const path of entries) {
          if (isFolder(path)) this.#folders.add(path);
          else this.#entryOf(path).entry = true;
        }
        this.#walBytes = Math.max(this.#walBytes, walBytes);
      }
      done(errno);
    });
  }

  #reached(path: string, { bytes, order }: { bytes: Uint8Array; order: number }): void {
    const durable = this.#entryOf(path);
    if (durable.order < order) Object.assign(durable, { bytes, order });
  }

  #entryOf(path: string): Durable {
    let durable = this.#durable.get(path);
    if (durable === undefined) {
      this.#durable.set(path, durable = { bytes: new Uint8Array(0), order: 0, entry: false });
    }
    return durable;
  }

  unlink(paths: string[], done: (errno: number) => void): void {
    this.#order(`unlink ${paths.map(nameOf).join(" ")}`, (errno) => {
      if (errno === 0) { for (const path of paths) removeIfThere(path); }
      done(errno);
    });
  }

  syncAll(done: (errno: number) => void): void {
    const all = contentFiles(this.#store.directory).map((path) => ({
      path,
      bytes: Deno.readFileSync(path),
    }));
    const walBytes = sizeOf(this.#walPath);
    const order = ++this.#orders;
    this.#order("syncAll", (errno) => {
      if (errno === 0) {
        for (const { path, bytes } of all) {
          this.#reached(path, { bytes, order });
          this.#entryOf(path).entry = true;
          this.#foldersReached(path);
        }
        this.#walBytes = Math.max(this.#walBytes, walBytes);
      }
      done(errno);
    });
  }

  /** The two folders that lead to a content file are on the disk. */
  #foldersReached(path: string): void {
    this.#folders.add(parentOf(path)).add(parentOf(parentOf(path)));
  }

  /** A power cut leaves the way to a content file, and its name. */
  #isNamed(path: string): boolean {
    return this.#durable.get(path)?.entry === true && this.#folders.has(parentOf(path)) &&
      this.#folders.has(parentOf(parentOf(path)));
  }

  checkpoint(done: (errno: number) => void): void {
    this.#order("checkpoint", done);
  }

  #order(label: string, run: (errno: number) => void): void {
    this.waiting.push({ label, run });
  }

  /** Carries out the oldest order, or the one at `place`. False: none waits. */
  step(place = 0): boolean {
    const [order] = this.waiting.splice(place, 1);
    if (order === undefined) return false;
    this.log.push(order.label);
    order.run(this.fault(order.label));
    return true;
  }

  #pathOf(file: ContentFile): string {
    return this.#store.path(file.inode, file.incarnation);
  }

  #read(file: ContentFile): Uint8Array {
    const bytes = new Uint8Array(this.#store.length(file));
    this.#store.read(file, bytes, 0);
    return bytes;
  }

  /** Builds in `directory` what a power cut now would leave of content and write-ahead log. */
  afterPowerCut(options: { content: string; walPath: string; random: SeededRandom }): void {
    const { random } = options;
    const from = this.#store.directory;
    const paths = new Set([...this.#durable.keys(), ...contentFiles(from)]);
    for (const path of paths) {
      const durable = this.#durable.get(path);
      const now = readIfThere(path);
      if (!this.#isNamed(path) && (now === undefined || random.below(2) === 0)) continue;
      if (now === undefined && random.below(2) === 0) continue;
      const target = options.content + path.slice(from.length);
      Deno.mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
      const old = durable?.bytes ?? new Uint8Array(0);
      writeSparsely(target, mixPages(old, now ?? old, random));
    }
    const wal = readIfThere(this.#walPath) ?? new Uint8Array(0);
    const extra = random.below(3) === 0 ? 0 : random.below(wal.length - this.#walBytes + 1);
    Deno.writeFileSync(options.walPath, wal.subarray(0, this.#walBytes + extra));
  }

  /** What a power cut leaves of a file that nobody syncs: each page empty, or as it is now. */
  afterPowerCutOf(from: string, to: string, random: SeededRandom): void {
    const now = readIfThere(from);
    if (now !== undefined) {
      Deno.writeFileSync(to, mixPages(new Uint8Array(now.length), now, random));
    }
  }
}

/** Pages of zeros stay holes: no power cut allocates them, and what is allocated counts as stored. */
function writeSparsely(path: string, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  file.truncateSync(bytes.length);
  for (let at = 0; at < bytes.length; at += PAGE) {
    const page = bytes.subarray(at, at + PAGE);
    if (page.every((byte) => byte === 0)) continue;
    file.seekSync(at, Deno.SeekMode.Start);
    for (let done = 0; done < page.length;) done += file.writeSync(page.subarray(done));
  }
}

/** Each page as it was or as it is. */
function mixPages(old: Uint8Array, now: Uint8Array, random: SeededRandom): Uint8Array {
  const kind = random.below(3);
  if (kind === 0) return old;
  if (kind === 1) return now;
  const mixed = new Uint8Array(random.below(2) === 0 ? old.length : now.length);
  for (let at = 0; at < mixed.length; at += PAGE) {
    const from = random.below(2) === 0 ? old : now;
    mixed.set(from.subarray(at, Math.min(at + PAGE, mixed.length)), at);
  }
  return mixed;
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function namesIn(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)].map((entry) => entry.name);
  } catch (error) {
    const none = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory;
    if (none) return [];
    throw error;
  }
}

/** Paths of all content files below a content directory. */
export function contentFiles(directory: string): string[] {
  return namesIn(directory).flatMap((top) =>
    namesIn(`${directory}/${top}`).flatMap((leaf) =>
      namesIn(`${directory}/${top}/${leaf}`).map((name) => `${directory}/${top}/${leaf}/${name}`)
    )
  );
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
