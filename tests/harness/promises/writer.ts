/**
 * A program that changes files below a directory at random until it is ended, and writes down what it
 * was promised. What an earlier run left undecided it removes first.
 *
 *     deno run -A writer.ts DIRECTORY LOG SEED close|fsync
 *
 * `close`: closing a file is a promise (the daemon may be killed). `fsync`: only fsync is (power cuts);
 * then some operations go without.
 */
import { SeededRandom } from "../seeded_random.ts";
import { fillStream } from "../stream_data.ts";
import { follow, type Intent, type Kind, type Line, type Model, readLog, statesOf } from "./log.ts";

const FILES = 28;
const PIECE_BYTES = 192 * 1024;
const MiB = 1024 * 1024;
const SIZES = [500, 5000, 40_000, 100_000, 400_000, 2 * MiB, 6 * MiB, 10 * MiB];

class Writer {
  readonly #model: Model = new Map();
  readonly #random: SeededRandom;
  readonly #log: Deno.FsFile;

  constructor(
    private readonly directory: string,
    private readonly log: string,
    private readonly options: { seed: number; closePromises: boolean },
  ) {
    this.#random = new SeededRandom(options.seed);
    this.#log = Deno.openSync(log, { append: true, create: true });
  }

  #say(line: Line): void {
    this.#log.writeSync(new TextEncoder().encode(JSON.stringify(line) + "\n"));
    follow(this.#model, line);
  }

  run(): void {
    for (const line of readLog(this.log)) follow(this.#model, line);
    for (const part of ["a", "b"]) {
      Deno.mkdirSync(`${this.directory}/${part}`, { recursive: true });
    }
    this.#syncDirectory(this.directory);
    for (const [name, file] of this.#model) {
      if (file.pending.length > 0) this.#unlink(name, true);
    }
    this.#removeTemporary();
    this.#say({ op: "note", message: "ready" });
    for (;;) this.#step();
  }

  #removeTemporary(): void {
    for (const part of ["a", "b"]) {
      for (const entry of Deno.readDirSync(`${this.directory}/${part}`)) {
        if (entry.name.startsWith("new-")) {
          Deno.removeSync(`${this.directory}/${part}/${entry.name}`);
        }
      }
    }
  }

  #step(): void {
    const random = this.#random;
    const number = random.below(FILES);
    const name = `${number % 2 === 0 ? "a" : "b"}/file-${number}`;
    const file = this.#model.get(name);
    const exists = file?.promised !== undefined;
    const sync = random.below(10) < 6;
    const dice = random.below(100);
    if (!exists || dice < 15) return this.#write(name, "write", sync);
    if (dice < 35) return this.#replace(name, sync);
    if (dice < 60) return this.#write(name, "patch", sync);
    if (dice < 68) return this.#write(name, "truncate", sync);
    if (dice < 72) return this.#unlink(name, sync);
    this.#read(name);
  }

  /** One size in four may have several chunks. */
  #size(): number {
    const random = this.#random;
    const bound = SIZES[random.below(SIZES.length)];
    return 1 + random.below(bound);
  }

  #intent(name: string, kind: Kind): Intent {
    const random = this.#random;
    const file = this.#model.get(name);
    const size = file === undefined ? 0 : statesOf(file).at(-1)?.length ?? 0;
    const seed = random.next();
    const base = { op: "intent", name, kind, seed, offset: 0, length: 0 } as const;
    switch (kind) {
      case "patch": {
        const length = 1 + random.below(400_000);
        return { ...base, offset: random.below(size + 1), length };
      }
      case "truncate":
        return { ...base, length: random.below(size + 1) };
      case "unlink":
        return base;
      case "write":
      case "replace":
        return { ...base, length: this.#size() };
    }
  }

  #write(name: string, kind: "write" | "patch" | "truncate", sync: boolean): void {
    const intent = this.#intent(name, kind);
    this.#say(intent);
    const path = `${this.directory}/${name}`;
    const file = Deno.openSync(path, { write: true, create: true, truncate: kind === "write" });
    if (kind === "truncate") file.truncateSync(intent.length);
    else this.#put(file, intent);
    if (sync) {
      file.syncSync();
      this.#say({ op: "promise", name });
    }
    file.close();
    if (!sync) this.#say({ op: this.options.closePromises ? "promise" : "done", name });
  }

  #put(file: Deno.FsFile, intent: Intent): void {
    const piece = new Uint8Array(PIECE_BYTES);
    const end = intent.offset + intent.length;
    for (let at = intent.offset; at < end;) {
      const part = piece.subarray(0, Math.min(piece.length, end - at));
      fillStream(part, intent.seed, at);
      file.seekSync(at, Deno.SeekMode.Start);
      at += file.writeSync(part);
    }
  }

  #replace(name: string, sync: boolean): void {
    const intent = this.#intent(name, "replace");
    const path = `${this.directory}/${name}`;
    const fresh = path.replace("file-", "new-");
    const file = Deno.openSync(fresh, { write: true, create: true, truncate: true });
    this.#put(file, intent);
    file.syncSync();
    file.close();
    this.#say(intent);
    Deno.renameSync(fresh, path);
    this.#nameChanged(name, sync);
  }

  #unlink(name: string, sync: boolean): void {
    this.#say(this.#intent(name, "unlink"));
    try {
      Deno.removeSync(`${this.directory}/${name}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    this.#nameChanged(name, sync);
  }

  #nameChanged(name: string, sync: boolean): void {
    if (sync) this.#syncDirectory(`${this.directory}/${name}`.replace(/\/[^/]*$/, ""));
    this.#say({ op: sync || this.options.closePromises ? "promise" : "done", name });
  }

  #syncDirectory(path: string): void {
    const directory = Deno.openSync(path);
    directory.syncSync();
    directory.close();
  }

  /** What was promised and not changed since must read so now. */
  #read(name: string): void {
    const { promised, pending } = this.#model.get(name)!;
    if (pending.length > 0 || promised === undefined) return;
    const actual = Deno.readFileSync(`${this.directory}/${name}`);
    if (actual.length === promised.length && actual.every((byte, i) => byte === promised[i])) {
      return;
    }
    const at = actual.findIndex((byte, i) => byte !== promised[i]);
    const message = `${actual.length} bytes of ${promised.length}, first difference at ${at}`;
    this.#say({ op: "wrong", name, message, atMs: Date.now() });
  }

  failed(error: unknown): void {
    this.#say({ op: "error", message: String(error), atMs: Date.now() });
  }
}

const [directory, log, seed, mode] = Deno.args;
const writer = new Writer(directory, log, { seed: Number(seed), closePromises: mode === "close" });
try {
  writer.run();
} catch (error) {
  writer.failed(error);
  Deno.exit(1);
}
