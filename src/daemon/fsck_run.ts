/**
 * Runs a check with its bookkeeping: where a deep one stopped is kept in the cache (fsck.json), so that
 * the next goes on from there; what it finds damaged is marked in the rows.
 */
import { z } from "zod";
import { invariant } from "../domain/errors.ts";
import type { Secrets } from "../format/secrets.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { systemClock } from "../runtime/clock.ts";
import { systemRandom } from "../runtime/random.ts";
import { fsck } from "../tiering/fsck.ts";
import type { KeyObjects } from "../tiering/fsck_keys.ts";
import type { FsckReport } from "../tiering/fsck_report.ts";
import { cacheLayout } from "./cache_layout.ts";
import type { DeepRequest } from "./care_requests.ts";
import { KeyFile } from "./key_file.ts";
import { LIMITS } from "./limits.ts";
import { putBytes, readWrappedKeys } from "./wrapped_keys.ts";

export interface FsckRun {
  cache: string;
  database: MetadataDatabase;
  store: ObjectStore | { skipped: string };
  /** Of an encrypted file system; a deep check needs them. */
  secrets: Secrets | undefined;
  mounted: boolean;
  repair: boolean;
  deep: DeepRequest | undefined;
  /** Chunks of a pack whose bytes the bucket does not give back from there. */
  markLost: (damage: { pack: number; chunks: number[] }) => void | Promise<void>;
  signal: AbortSignal;
  onProgress: (text: string) => void;
}

const schema = z.object({ after: z.number().int().nonnegative() });

export async function runFsck(options: FsckRun): Promise<FsckReport> {
  const { deep, cache } = options;
  const damaged: { pack: number; chunks: number[] }[] = [];
  const place = new DeepPlace(`${cache}/fsck.json`);
  try {
    const report = await fsck({
      ...options,
      keys: keysOf(options),
      clock: systemClock,
      deep: deep === undefined ? undefined : {
        secrets: options.secrets,
        share: deep.share,
        bytesPerSecond: deep.bytesPerSecond,
        pick: () => systemRandom.fraction(),
        after: deep.restart ? 0 : place.read(),
        onVerified: (pack) => place.note(pack),
        onDamage: (chunks, _, pack) => {
          if (chunks.length > 0) damaged.push({ pack, chunks });
        },
      },
    });
    if (deep !== undefined) place.forget();
    return report;
  } finally {
    if (deep !== undefined) place.write();
    for (const each of damaged) await options.markLost(each);
  }
}

/** How to look at the keys of an encrypted file system. */
function keysOf({ cache, store }: FsckRun): KeyObjects | undefined {
  const copy = new KeyFile(cacheLayout(cache).key).read();
  if (copy === undefined) return undefined;
  return {
    fileSystem: copy.descriptor.fileSystem,
    read: async () => "skipped" in store ? [] : await readWrappedKeys(store),
    kept: copy.wrapped,
    put: async (bytes) => {
      invariant(!("skipped" in store), "a key is put into a bucket that was left out");
      return (await putBytes(store, { bytes: new Uint8Array(bytes), random: systemRandom })).key;
    },
  };
}

/** The last pack that was verified, in a small file. */
class DeepPlace {
  readonly #path: string;
  #pack: number | undefined;
  #written = 0;

  constructor(path: string) {
    this.#path = path;
  }

  read(): number {
    try {
      return schema.parse(JSON.parse(Deno.readTextFileSync(this.#path))).after;
    } catch {
      // Not there, or damaged: the worst is that packs are read again.
      return 0;
    }
  }

  note(pack: number): void {
    this.#pack = pack;
    if (++this.#written % LIMITS.DEEP_NOTED_PACKS === 0) this.write();
  }

  write(): void {
    if (this.#pack === undefined) return;
    Deno.writeTextFileSync(this.#path, JSON.stringify({ after: this.#pack }), { mode: 0o600 });
  }

  /** Everything was read: the next run begins anew. */
  forget(): void {
    this.#pack = undefined;
    try {
      Deno.removeSync(this.#path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}
