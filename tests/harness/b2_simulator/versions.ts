/**
 * The content of the simulator's buckets: versions and hide markers, in memory, and with a directory
 * given also on disk, so that a simulator that is started again there has them.
 */
import { join } from "node:path";

export interface StoredVersion {
  key: string;
  versionId: string;
  modifiedMs: number;
  /** A hide marker: no bytes. */
  marker: boolean;
  length: number;
  body: Uint8Array<ArrayBuffer>;
}

type JournalLine =
  | { put: { bucket: string } & Omit<StoredVersion, "body"> }
  | { removed: { bucket: string; key: string; versionId: string } };

const encoder = new TextEncoder();

/** Order of keys in listings: by UTF-8. */
export function byUtf8(a: string, b: string): number {
  const x = encoder.encode(a);
  const y = encoder.encode(b);
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i] - y[i];
  return x.length - y.length;
}

export class Versions {
  /** Per bucket and key, newest first. */
  #buckets = new Map<string, Map<string, StoredVersion[]>>();
  #sequence = 0;
  #directory: string | undefined;

  constructor(directory?: string) {
    this.#directory = directory;
    if (directory === undefined) return;
    Deno.mkdirSync(join(directory, "bodies"), { recursive: true });
    this.#load(join(directory, "journal.jsonl"));
  }

  /** Adds a version that becomes the latest of its key. */
  put(
    bucket: string,
    content: { key: string; body: Uint8Array<ArrayBuffer>; marker: boolean; modifiedMs: number },
  ): StoredVersion {
    const sequence = (++this.#sequence).toString(16).padStart(12, "0");
    const { body } = content;
    const version: StoredVersion = {
      ...content,
      versionId: `4_zsimulated_f${sequence}_c004_v0001`,
      length: body.length,
    };
    if (this.#directory !== undefined) {
      Deno.writeFileSync(this.#bodyPath(version.versionId), body);
      const { body: _body, ...put } = version;
      this.#append({ put: { bucket, ...put } });
    }
    this.#insert(bucket, version);
    return version;
  }

  /** The version, or the latest where none is named. */
  find(bucket: string, key: string, versionId?: string): StoredVersion | undefined {
    const versions = this.#buckets.get(bucket)?.get(key) ?? [];
    return versionId === undefined
      ? versions[0]
      : versions.find((each) => each.versionId === versionId);
  }

  remove(bucket: string, key: string, versionId: string): void {
    if (this.find(bucket, key, versionId) === undefined) return;
    this.#append({ removed: { bucket, key, versionId } });
    this.#drop(bucket, key, versionId);
    if (this.#directory !== undefined) Deno.removeSync(this.#bodyPath(versionId));
  }

  /** Replaces the stored bytes of a version, as a failing disk does. */
  damage(version: StoredVersion, body: Uint8Array<ArrayBuffer>): void {
    version.body = body;
    if (this.#directory !== undefined) Deno.writeFileSync(this.#bodyPath(version.versionId), body);
  }

  /** Every version in key order, of one key the newest first. */
  all(bucket: string): (StoredVersion & { latest: boolean })[] {
    const keys = this.#buckets.get(bucket) ?? new Map<string, StoredVersion[]>();
    return [...keys.keys()].sort(byUtf8).flatMap((key) =>
      keys.get(key)!.map((version, index) => ({ ...version, latest: index === 0 }))
    );
  }

  #insert(bucket: string, version: StoredVersion): void {
    const keys = this.#buckets.get(bucket) ?? new Map<string, StoredVersion[]>();
    this.#buckets.set(bucket, keys);
    keys.set(version.key, [version, ...keys.get(version.key) ?? []]);
  }

  #drop(bucket: string, key: string, versionId: string): void {
    const keys = this.#buckets.get(bucket)!;
    const left = keys.get(key)!.filter((each) => each.versionId !== versionId);
    if (left.length === 0) keys.delete(key);
    else keys.set(key, left);
  }

  #bodyPath(versionId: string): string {
    return join(this.#directory!, "bodies", versionId);
  }

  #append(line: JournalLine): void {
    if (this.#directory === undefined) return;
    Deno.writeTextFileSync(join(this.#directory, "journal.jsonl"), `${JSON.stringify(line)}\n`, {
      append: true,
    });
  }

  #load(journal: string): void {
    let text: string;
    try {
      text = Deno.readTextFileSync(journal);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    // What follows the last newline was being written when the simulator was killed.
    for (const line of text.split("\n").slice(0, -1)) {
      const entry = JSON.parse(line) as JournalLine;
      if ("removed" in entry) {
        const { bucket, key, versionId } = entry.removed;
        this.#drop(bucket, key, versionId);
        continue;
      }
      const { bucket, ...version } = entry.put;
      this.#sequence++;
      this.#insert(bucket, { ...version, body: new Uint8Array(0) });
    }
    for (const bucket of this.#buckets.values()) {
      for (const version of [...bucket.values()].flat()) {
        version.body = Deno.readFileSync(this.#bodyPath(version.versionId));
      }
    }
  }
}
