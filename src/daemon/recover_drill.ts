/**
 * `zero recover --drill` and `--path`: recover into a scratch directory that goes away, compare or take
 * files out of it, and leave no trace, neither in the bucket nor in a cache.
 */
import { createHash } from "node:crypto";
import { ExitCode, UserError } from "../domain/errors.ts";
import { printName } from "../domain/name_text.ts";
import { FormatError } from "../format/format_error.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { type TreeEntry, TreeReader } from "../metadata/tree_reader.ts";
import { StoreError } from "../object_store/object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { restoreContent } from "../tiering/content_restore.ts";
import { cacheLayout } from "./cache_layout.ts";
import { LIMITS } from "./limits.ts";
import {
  notesOf,
  type RecoverRequest,
  recoverTo,
  type RecoverySource,
  withSource,
} from "./recover.ts";
import type { RecoverReport } from "./recover.ts";

export interface DrillReport extends RecoverReport {
  /** Of the tree that came back: names, attributes, links, extended attributes. */
  digest: string;
  /** Undefined where there is no cache to compare with. */
  compared: { digest: string; differences: number; examples: string[] } | undefined;
  /** Files whose content was downloaded and verified; those that could not be, and why. */
  sampled: { files: number; bytes: number; failed: string[] };
}

/** Differences that a drill names. */
const EXAMPLES = 20;

/** Recovers for the sake of seeing it work. */
export async function drill(
  request: Omit<RecoverRequest, "takeOver"> & { samples: number },
): Promise<DrillReport> {
  const startedMs = systemClock.monotonicMs();
  return await withSource(request, (source) =>
    withScratch(async (directory) => {
      const { plan, ...result } = await recoverTo(directory, {
        source,
        storeUrl: request.store,
        ...request,
      });
      const database = MetadataDatabase.open({ directory, readOnly: true });
      try {
        const tree = new TreeReader(database);
        request.progress("comparing with the cache");
        const compared = compareWithCache(tree, request.cache);
        request.progress("checking the content of some files");
        const sampled = await sample(tree, { ...request, source });
        return {
          fileSystem: source.descriptor.fileSystem,
          store: source.store.description,
          cache: request.cache,
          pointMs: plan.pointMs,
          ...result,
          tookOver: undefined,
          policy: undefined,
          notes: notesOf(plan),
          digest: compared?.recovered ?? digestOf(tree),
          compared: compared && {
            digest: compared.live,
            differences: compared.differences,
            examples: compared.examples,
          },
          sampled,
          milliseconds: systemClock.monotonicMs() - startedMs,
        };
      } finally {
        database.close({ clean: false });
      }
    }));
}

/** Runs `action` with an empty private directory that goes away. */
export async function withScratch<T>(action: (directory: string) => Promise<T>): Promise<T> {
  const directory = await Deno.makeTempDir({ prefix: "zero-recover-" });
  try {
    return await action(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** A line per name: what two trees must agree in. */
function* lines(tree: TreeReader): Iterable<{ path: string; line: string }> {
  for (const entry of tree.walk(tree.at([])!)) {
    yield { path: pathKey(entry), line: lineOf(tree, entry) };
  }
}

/** Paths in the order of the walk: no byte of a name is smaller than the separator. */
const pathKey = ({ names }: TreeEntry) =>
  names.map((name) => String.fromCharCode(...name)).join("\0");

function lineOf(tree: TreeReader, entry: TreeEntry): string {
  const { mode, uid, gid, nlink, rdev, size, mtimeS, mtimeNs, target } = entry;
  const attributes = tree.xattrs(entry.inode)
    .map(({ name, value }) => [String.fromCharCode(...name), String.fromCharCode(...value)]);
  const link = target === undefined ? null : String.fromCharCode(...target);
  return JSON.stringify([mode, uid, gid, nlink, rdev, size, mtimeS, mtimeNs, link, attributes]);
}

function digestOf(tree: TreeReader): string {
  const digest = createHash("sha256");
  for (const { path, line } of lines(tree)) digest.update(`${path}\0${line}\n`, "latin1");
  return digest.digest("hex");
}

function compareWithCache(tree: TreeReader, cache: string) {
  try {
    Deno.statSync(cacheLayout(cache).metadata);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  // A mount may be writing to it meanwhile: what it has not shipped yet shows as a difference.
  const live = MetadataDatabase.open({ directory: cache, readOnly: true });
  try {
    return compare(tree, new TreeReader(live));
  } finally {
    live.close({ clean: false });
  }
}

function compare(recovered: TreeReader, live: TreeReader) {
  const digests = [createHash("sha256"), createHash("sha256")];
  const iterators = [lines(recovered)[Symbol.iterator](), lines(live)[Symbol.iterator]()];
  const heads = iterators.map((each) => each.next().value);
  const next = (side: number) => {
    digests[side].update(`${heads[side]!.path}\0${heads[side]!.line}\n`, "latin1");
    heads[side] = iterators[side].next().value;
  };
  let differences = 0;
  const examples: string[] = [];
  while (heads[0] !== undefined || heads[1] !== undefined) {
    const [here, there] = heads;
    const order = here === undefined
      ? 1
      : there === undefined
      ? -1
      : compareKeys(here.path, there.path);
    const same = order === 0 && here!.line === there!.line;
    if (!same) {
      differences++;
      const what = order < 0 ? "only recovered" : order > 0 ? "only in the cache" : "differs";
      if (examples.length < EXAMPLES) {
        examples.push(`${what}: /${printKey((order > 0 ? there! : here!).path)}`);
      }
    }
    if (order <= 0) next(0);
    if (order >= 0) next(1);
  }
  const [first, second] = digests.map((digest) => digest.digest("hex"));
  return { recovered: first, live: second, differences, examples };
}

function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function printKey(key: string): string {
  return printName(Uint8Array.from(key.replaceAll("\0", "/"), (each) => each.charCodeAt(0)));
}

async function sample(
  tree: TreeReader,
  options: { source: RecoverySource; samples: number },
): Promise<DrillReport["sampled"]> {
  const { store, secrets } = options.source;
  const sampled: DrillReport["sampled"] = { files: 0, bytes: 0, failed: [] };
  for (const inode of tree.sample(options.samples, () => systemRandom.fraction())) {
    try {
      await restoreContent({ inode }, {
        tree,
        store,
        secrets,
        signal: AbortSignal.timeout(LIMITS.DRILL_FILE_MS),
        take: (_, bytes) => sampled.bytes += bytes.length,
      });
      sampled.files++;
    } catch (error) {
      if (!(error instanceof StoreError) && !(error instanceof FormatError)) throw error;
      sampled.failed.push(`inode ${inode}: ${error.message}`);
    }
  }
  return sampled;
}

/** What a drill found, as an exit code. */
export function drillCode(report: DrillReport): number {
  return report.sampled.failed.length > 0 ? ExitCode.failure : ExitCode.ok;
}

/** Throws UserError where there is no such path in what was recovered. */
export function requireEntry(tree: TreeReader, names: Uint8Array[]): TreeEntry {
  const entry = tree.at(names);
  if (entry !== undefined) return entry;
  const path = names.map(printName).join("/");
  throw new UserError(`there is no ${path} in what the bucket holds`, {
    hint: "paths are given from the root of the file system",
    exitCode: ExitCode.usage,
  });
}
