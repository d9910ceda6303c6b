/**
 * Makes metadata objects of rows: changes and segments of snapshots. Runs in an isolate of its own
 * (metadata_isolate.ts), or on the spot in tests. Reads; sends and changes nothing.
 */
import type { RecordTable } from "../domain/metadata_rows.ts";
import { ByteWriter } from "../format/byte_writer.ts";
import { NONCE_BYTES } from "../format/cipher.ts";
import {
  encodeMetadataObject,
  MetadataKind,
  type MetadataSealing,
  NO_HASH,
  sha256,
} from "../format/metadata_object.ts";
import { encodeRecord } from "../format/metadata_records.ts";
import type { Secrets } from "../format/secrets.ts";
import type { LoggedKey } from "../metadata/change_log.ts";
import { ExportReader } from "../metadata/export_reader.ts";
import type { Clock } from "../runtime/clock.ts";
import { hex, type Random } from "../runtime/random.ts";
import { METADATA_LIMITS as LIMITS, SEGMENT_KEYS } from "./metadata_limits.ts";

/** What all objects say of themselves. */
export interface ExportHeader {
  /** File system id, 16 bytes. */
  fileSystem: Uint8Array;
  epoch: number;
  first: number;
  last: number;
}

export interface ChangesRequest extends ExportHeader {
  /** Hash of the object before. */
  previous: Uint8Array;
  /** The first object does not follow from the one before it. */
  restart: boolean;
}

export interface ChangesObject {
  bytes: Uint8Array<ArrayBuffer>;
  hash: Uint8Array<ArrayBuffer>;
  range: { from: LoggedKey; to: LoggedKey };
  /** With it all tables agree with each other. */
  complete: boolean;
}

/** Rows of a table in a range of keys. */
export interface SegmentFacts {
  first: number;
  last: number;
  count: number;
  /** SHA-256 of the plain payload. */
  content: Uint8Array<ArrayBuffer>;
}

/** Which object of a segment is wanted. */
export interface SegmentRequest extends ExportHeader {
  /** Of the segment that was asked for last. */
  content: Uint8Array;
}

export interface MetadataExportPort {
  /** Keys that wait, counted up to `limit`. */
  unshipped(limit: number): Promise<number>;
  /** What has changed, in objects that follow one another; none where nothing has. */
  changes(request: ChangesRequest): Promise<ChangesObject[]>;
  /** The next segment of a table behind a key; undefined at its end. */
  segment(place: { table: RecordTable; after: number }): Promise<SegmentFacts | undefined>;
  /**
   * The object of the segment that was asked for last. Rejects where that one has other content: two
   * who ask by turns would get each other's.
   */
  segmentObject(request: SegmentRequest): Promise<Uint8Array<ArrayBuffer>>;
  close(): void;
}

/** Where objects, groups and segments end. */
export type ExportLimits =
  & Record<"OBJECT_KEYS" | "OBJECT_BYTES" | "SEGMENT_BYTES" | "GROUP_KEYS" | "READ_MS", number>
  & { SEGMENT_KEYS: Record<RecordTable, number> };

/** What encrypts the objects of an encrypted file system. */
export interface ExportSecrets {
  secrets: Secrets;
  random: Random;
}

/** What encrypts the next object; undefined where nothing is encrypted. */
export function sealingOf(parts: ExportSecrets | undefined): MetadataSealing | undefined {
  if (parts === undefined) return undefined;
  return { secrets: parts.secrets, nonce: parts.random.bytes(NONCE_BYTES) };
}

/** The same answers, at once. */
export class MetadataExporter {
  readonly #reader: ExportReader;
  readonly #limits: ExportLimits;
  readonly #secrets: ExportSecrets | undefined;
  readonly #clock: Clock;
  #segment: { payload: Uint8Array; count: number; content: Uint8Array } | undefined;

  /** Other limits than the usual ones are for tests. */
  constructor(
    directory: string,
    options: { clock: Clock; limits?: Partial<ExportLimits>; secrets?: ExportSecrets },
  ) {
    this.#reader = new ExportReader(directory);
    this.#limits = { ...LIMITS, SEGMENT_KEYS, ...options.limits };
    this.#secrets = options.secrets;
    this.#clock = options.clock;
  }

  unshipped(limit: number): number {
    return this.#reader.unshipped(limit);
  }

  changes(request: ChangesRequest): ChangesObject[] {
    const { payloads, complete, timeMs } = this.#reader.read(() => {
      // The first query settles which moment is read: nothing that happens later is told as of this time.
      this.#reader.unshipped(1);
      return { timeMs: Math.floor(this.#clock.wallMs()), ...this.#readChanges() };
    });
    const objects: ChangesObject[] = [];
    let { previous } = request;
    for (const [i, { payload, keys }] of payloads.entries()) {
      const isLast = i === payloads.length - 1;
      const { bytes, hash } = encodeMetadataObject(
        {
          ...request,
          timeMs,
          kind: MetadataKind.CHANGES,
          complete: complete && isLast,
          restart: request.restart && i === 0,
          previous,
          count: keys.length,
        },
        payload,
        sealingOf(this.#secrets),
      );
      const range = { from: keys[0], to: keys.at(-1)! };
      objects.push({ bytes, hash, range, complete: complete && isLast });
      previous = hash;
    }
    return objects;
  }

  /** In one read transaction, so that all rows are of the same moment. */
  #readChanges(): { payloads: { payload: Uint8Array; keys: LoggedKey[] }[]; complete: boolean } {
    const payloads: { payload: Uint8Array; keys: LoggedKey[] }[] = [];
    const startedMs = performance.now();
    let after: LoggedKey | undefined;
    for (let total = 0;;) {
      const keys = this.#reader.changes(after, this.#limits.OBJECT_KEYS);
      if (keys.length === 0) return { payloads, complete: true };
      const into = new ByteWriter();
      let count = 0;
      for (const key of keys) {
        encodeRecord(into, this.#reader.record(key));
        count++;
        if (into.length >= this.#limits.OBJECT_BYTES) break;
      }
      const taken = keys.slice(0, count);
      payloads.push({ payload: into.finish(), keys: taken });
      after = taken.at(-1);
      total += count;
      if (count === keys.length && keys.length < this.#limits.OBJECT_KEYS) {
        return { payloads, complete: true };
      }
      const spentMs = performance.now() - startedMs;
      if (total >= this.#limits.GROUP_KEYS || spentMs >= this.#limits.READ_MS) {
        return { payloads, complete: this.#reader.changes(after, 1).length === 0 };
      }
    }
  }

  segment({ table, after }: { table: RecordTable; after: number }): SegmentFacts | undefined {
    const average = this.#limits.SEGMENT_KEYS[table];
    return this.#reader.read(() => {
      const keys = this.#reader.keys(table, after, average * LIMITS.SEGMENT_STRETCH);
      if (keys.length === 0) return undefined;
      const into = new ByteWriter();
      let count = 0;
      for (const key of keys) {
        encodeRecord(into, this.#reader.record({ table, key }));
        count++;
        if (isBorder(key, average) || into.length >= this.#limits.SEGMENT_BYTES) break;
      }
      const payload = into.finish();
      const content = sha256(payload);
      this.#segment = { payload, count, content };
      return { first: keys[0], last: keys[count - 1], count, content };
    });
  }

  segmentObject({ content, ...header }: SegmentRequest): Uint8Array<ArrayBuffer> {
    if (this.#segment === undefined || hex(this.#segment.content) !== hex(content)) {
      throw new Error("another segment was read in the meantime; no object is made of this one");
    }
    const { payload, count } = this.#segment;
    return encodeMetadataObject(
      {
        ...header,
        timeMs: Math.floor(this.#clock.wallMs()),
        kind: MetadataKind.SEGMENT,
        complete: false,
        restart: false,
        previous: NO_HASH,
        count,
      },
      payload,
      sealingOf(this.#secrets),
    ).bytes;
  }

  close(): void {
    this.#reader.close();
  }
}

/**
 * Whether a segment ends with this key: one key in `average` does, by a hash of it, so that keys that
 * come or go move no border but their own.
 */
function isBorder(key: number, average: number): boolean {
  let mixed = Math.imul((key % 2 ** 32) ^ Math.floor(key / 2 ** 32), 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
  mixed ^= mixed >>> 13;
  return (mixed >>> 0) % average === 0;
}
