/**
 * A bucket in memory, for tests: versions, hide markers and the contract's errors as B2 has them.
 *
 * Owns copies of all bytes, so neither caller nor store sees later changes of the other's arrays.
 * Never fails by itself; failures are put around it.
 */
import type { Clock } from "../runtime/clock.ts";
import { Closing } from "./closing.ts";
import { checkKey, checkRange, compareKeys } from "./keys.ts";
import {
  type CallOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutResult,
  StoreError,
} from "./object_store.ts";

interface Version extends ObjectInfo {
  body: Uint8Array<ArrayBuffer>;
  marker: boolean;
}

export class MemoryObjectStore implements ObjectStore {
  readonly description = "memory:";
  /** Versions of each key, newest first. */
  #versions = new Map<string, Version[]>();
  #closing = new Closing();
  #clock: Clock;
  #counter = 0;

  constructor(options: { clock: Clock }) {
    this.#clock = options.clock;
  }

  async put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<PutResult> {
    const copy = new Uint8Array(body);
    await this.#turn(key, options);
    const version = this.#add(key, { body: copy, marker: false });
    return { versionId: version.versionId, storeTimeMs: version.modifiedMs };
  }

  async get(
    key: string,
    options: CallOptions & { versionId?: string; range?: { offset: number; length: number } } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { range } = options;
    if (range !== undefined) checkRange(key, range);
    await this.#turn(key, options);
    const { body } = this.#find(key, "get", options.versionId);
    if (range === undefined) return body.slice();
    if (range.offset + range.length > body.length) {
      throw new StoreError(
        "corrupt",
        `get ${key}: ${range.length} bytes at offset ${range.offset} were asked for, ` +
          `the object holds ${body.length}`,
      );
    }
    return body.slice(range.offset, range.offset + range.length);
  }

  async head(key: string, options: CallOptions & { versionId?: string } = {}): Promise<ObjectInfo> {
    await this.#turn(key, options);
    return info(this.#find(key, "head", options.versionId));
  }

  async *list(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo> {
    for await (const version of this.listVersions(prefix, options)) {
      if (!version.latest || version.marker) continue;
      const { marker: _marker, latest: _latest, ...current } = version;
      yield current;
    }
  }

  async *listVersions(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo & { marker: boolean; latest: boolean }> {
    await this.#turn(undefined, options);
    const { startAfter } = options;
    const keys = [...this.#versions.keys()]
      .filter((key) => key.startsWith(prefix))
      .filter((key) => startAfter === undefined || compareKeys(key, startAfter) > 0)
      .sort(compareKeys);
    for (const key of keys) {
      this.#closing.check(options.signal);
      // A key may have gone since the listing began; S3 would not show it either.
      const versions = [...this.#versions.get(key) ?? []];
      for (const [index, version] of versions.entries()) {
        yield { ...info(version), marker: version.marker, latest: index === 0 };
      }
    }
  }

  async delete(key: string, versionId: string, options: CallOptions = {}): Promise<void> {
    await this.#turn(key, options);
    const left = (this.#versions.get(key) ?? []).filter((each) => each.versionId !== versionId);
    if (left.length === 0) this.#versions.delete(key);
    else this.#versions.set(key, left);
  }

  /** Puts a hide marker over `key`, as S3's DELETE without a version does. Returns its version id. */
  hide(key: string): string {
    return this.#add(key, { body: new Uint8Array(0), marker: true }).versionId;
  }

  close(): void {
    this.#closing.close();
  }

  #add(key: string, content: Pick<Version, "body" | "marker">): Version {
    const version: Version = {
      ...content,
      key,
      length: content.body.length,
      versionId: `v${(++this.#counter).toString().padStart(10, "0")}`,
      modifiedMs: this.#clock.wallMs(),
    };
    this.#versions.set(key, [version, ...this.#versions.get(key) ?? []]);
    return version;
  }

  #find(key: string, operation: string, versionId: string | undefined): Version {
    const versions = this.#versions.get(key) ?? [];
    const found = versionId === undefined
      ? versions[0]
      : versions.find((each) => each.versionId === versionId);
    if (found === undefined || found.marker) {
      const version = versionId === undefined ? "" : ` version ${versionId}`;
      throw new StoreError("missing", `${operation} ${key}${version}: there is no such object`, {
        status: 404,
        code: "NoSuchKey",
      });
    }
    return found;
  }

  /** Every call takes at least one turn of the event loop, as a call over a network does. */
  async #turn(key: string | undefined, options: CallOptions): Promise<void> {
    if (key !== undefined) checkKey(key);
    this.#closing.check(options.signal);
    await Promise.resolve();
    this.#closing.check(options.signal);
  }
}

function info(version: Version): ObjectInfo {
  const { key, length, versionId, modifiedMs } = version;
  return { key, length, versionId, modifiedMs };
}
