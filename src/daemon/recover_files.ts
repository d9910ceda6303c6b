/** `zero recover --path P --to DIR`: takes single files or directories out of a bucket, without a cache. */
import { errnoName } from "../domain/errno.ts";
import { ExitCode, UserError } from "../domain/errors.ts";
import { joinNames, printName } from "../domain/name_text.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { type TreeEntry, TreeReader } from "../metadata/tree_reader.ts";
import * as libc from "../runtime/libc.ts";
import { restoreContent } from "../tiering/content_restore.ts";
import {
  notesOf,
  type RecoverRequest,
  recoverTo,
  type RecoverySource,
  withSource,
} from "./recover.ts";
import { requireEntry, withScratch } from "./recover_drill.ts";

export interface RestoreReport {
  store: string;
  /** Time of the state that the files are from. */
  pointMs: number | undefined;
  files: number;
  bytes: number;
  /** Names that were left out, and why. */
  skipped: string[];
  notes: string[];
}

const TYPE_MASK = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;

/** `to` is a directory that does not exist yet, or is empty. Times and permissions come back too. */
export async function restoreFiles(
  request: Omit<RecoverRequest, "takeOver" | "cache"> & { names: Uint8Array[]; to: string },
): Promise<RestoreReport> {
  const { names, to, progress } = request;
  Deno.mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const _ of Deno.readDirSync(to)) {
    throw new UserError(`${to} is not empty`, {
      hint: "give a new directory with --to",
      exitCode: ExitCode.refused,
    });
  }
  return await withSource(request, (source) =>
    withScratch(async (directory) => {
      await recoverTo(directory, { source, storeUrl: request.store, progress });
      const database = MetadataDatabase.open({ directory, readOnly: true });
      try {
        const restore = new Restore(new TreeReader(database), { source, to, from: names });
        return await restore.run(progress);
      } finally {
        database.close({ clean: false });
      }
    }));
}

class Restore {
  readonly #tree: TreeReader;
  readonly #options: { source: RecoverySource; to: string; from: Uint8Array[] };
  readonly #report: RestoreReport;

  constructor(
    tree: TreeReader,
    options: { source: RecoverySource; to: string; from: Uint8Array[] },
  ) {
    this.#tree = tree;
    this.#options = options;
    const { store, plan } = options.source;
    this.#report = {
      store: store.description,
      pointMs: plan.pointMs,
      files: 0,
      bytes: 0,
      skipped: [],
      notes: notesOf(plan),
    };
  }

  async run(progress: (text: string) => void): Promise<RestoreReport> {
    const start = requireEntry(this.#tree, this.#options.from);
    const directories: { path: Uint8Array; entry: TreeEntry }[] = [];
    for (const entry of this.#tree.walk(start)) {
      const path = this.#target(entry);
      switch (entry.mode & TYPE_MASK) {
        case DIRECTORY:
          checked(libc.mkdir(path, 0o700), path, { existing: entry === start });
          directories.push({ path, entry });
          break;
        case REGULAR:
          await this.#file(path, entry);
          progress(`restored ${this.#report.files} files`);
          break;
        case SYMLINK:
          this.#link(path, entry);
          break;
        default:
          this.#report.skipped.push(`${printName(path)}: neither file, directory nor link`);
      }
    }
    // Last and from the inside out: what is put into a directory changes its time.
    for (const { path, entry } of directories.reverse()) {
      const fd = checked(libc.open(path, libc.O.RDONLY), path);
      finish(fd, entry);
    }
    return this.#report;
  }

  /** A single file keeps its name below `to`; of a directory, the content comes to lie there. */
  #target(entry: TreeEntry): Uint8Array {
    const { from, to } = this.#options;
    const below = entry.names.slice(from.length);
    const single = below.length === 0 && (entry.mode & TYPE_MASK) !== DIRECTORY;
    const names = single ? entry.names.slice(-1) : below;
    const root = new TextEncoder().encode(to);
    return names.length === 0 ? root : concat(root, joinNames(names));
  }

  async #file(path: Uint8Array, entry: TreeEntry): Promise<void> {
    const { store, descriptor } = this.#options.source;
    const flags = libc.O.WRONLY | libc.O.CREAT | libc.O.EXCL;
    const fd = checked(libc.open(path, flags, 0o600), path);
    try {
      await restoreContent(entry, {
        tree: this.#tree,
        store,
        take: (index, bytes) => {
          for (let at = 0; at < bytes.length;) {
            const offset = index * descriptor.chunkSize + at;
            at += checked(libc.pwrite(fd, bytes.subarray(at), offset), path);
          }
          this.#report.bytes += bytes.length;
        },
      });
      checked(libc.ftruncate(fd, entry.size), path);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
    finish(fd, entry);
    this.#report.files++;
  }

  #link(path: Uint8Array, { target }: TreeEntry): void {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    try {
      Deno.symlinkSync(decoder.decode(target), decoder.decode(path));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.#report.skipped.push(`${printName(path)}: a link with bytes that are not UTF-8`);
    }
  }
}

function finish(fd: number, { mode, mtimeS, mtimeNs }: TreeEntry): void {
  // Without set-user-id: the owner is whoever restores.
  libc.fchmod(fd, mode & 0o777);
  libc.futimens(fd, { mtime: { seconds: mtimeS, nanoseconds: mtimeNs } });
  libc.close(fd);
}

function concat(root: Uint8Array, rest: Uint8Array): Uint8Array {
  const path = new Uint8Array(root.length + 1 + rest.length);
  path.set(root);
  path[root.length] = 0x2f;
  path.set(rest, root.length + 1);
  return path;
}

function checked(result: number, path: Uint8Array, options: { existing?: boolean } = {}): number {
  if (result >= 0) return result;
  const name = errnoName(-result);
  if (options.existing && name === "EEXIST") return 0;
  throw new UserError(`${printName(path)} cannot be written: ${name}`, {
    hint: "is there room and permission where --to points?",
  });
}
