/**
 * Takes a snapshot: records of all rows, in segments by ranges of keys, and a manifest that is written
 * last. Rows are read in many short transactions while others write; the changes that follow the
 * manifest's base repair that. A segment that an earlier snapshot holds is not sent again.
 */
import { RecordTable } from "../domain/metadata_rows.ts";
import { FormatError } from "../format/format_error.ts";
import { decodeMetadataObject, encodeMetadataObject } from "../format/metadata_object.ts";
import { MetadataKind, NO_HASH } from "../format/metadata_object.ts";
import { decodeManifest, encodeManifest, type SegmentEntry } from "../format/metadata_snapshot.ts";
import { StoreError } from "../object_store/object_store.ts";
import { fromHex, hex } from "../runtime/random.ts";
import type { MetadataHead, ShippingState } from "../metadata/change_log.ts";
import {
  type ExportHeader,
  type ExportSecrets,
  type MetadataExportPort,
  sealingOf,
} from "./metadata_exporter.ts";
import type { MetadataSender } from "./metadata_sender.ts";

/** What a snapshot was made of. */
export interface SnapshotResult {
  /** Key of the manifest. */
  key: string;
  /** Bytes of all segments, and of those that had to be sent. */
  bytes: number;
  sentBytes: number;
  segments: number;
}

/**
 * `catchUp` ships every change so far and answers the new head; undefined where changes were given up
 * since the first segment was read: then there is no snapshot, and the answer is undefined, too. Rejects
 * with StoreError or UserError as the sender does. What was sent in vain is garbage.
 */
export async function takeSnapshot(parts: {
  sender: MetadataSender;
  exporter: MetadataExportPort;
  header: ExportHeader;
  /** Of an encrypted file system. */
  secrets: ExportSecrets | undefined;
  state: ShippingState;
  /** Wall clock, ms, before the first row is read. */
  timeMs: number;
  catchUp: () => Promise<MetadataHead | undefined>;
}): Promise<SnapshotResult | undefined> {
  const { sender, exporter, header, state, secrets } = parts;
  const known = await knownSegments(sender, { manifest: state.snapshot, secrets });
  const segments: SegmentEntry[] = [];
  let sentBytes = 0;
  for (const table of Object.values(RecordTable)) {
    for (let after = 0;;) {
      const found = await exporter.segment({ table, after });
      if (found === undefined) break;
      after = found.last;
      const content = hex(found.content);
      let entry = known.get(`${table} ${found.first} ${content}`);
      if (entry === undefined) {
        const bytes = await exporter.segmentObject({ ...header, content: found.content });
        const { first, last } = header;
        const key = await sender.put({ kind: "segment", epoch: header.epoch, first, last }, bytes);
        entry = { table, ...found, key, bytes: bytes.length };
        sentBytes += bytes.length;
      }
      segments.push(entry);
    }
  }
  const head = await parts.catchUp();
  if (head === undefined) return undefined;
  const payload = encodeManifest({
    base: fromHex(state.head.hash),
    end: fromHex(head.hash),
    segments,
  });
  const first = state.head.sequence;
  const last = head.sequence;
  const { bytes } = encodeMetadataObject(
    {
      ...header,
      first,
      last,
      timeMs: parts.timeMs,
      kind: MetadataKind.SNAPSHOT,
      complete: true,
      restart: false,
      previous: NO_HASH,
      count: segments.length,
    },
    payload,
    sealingOf(secrets),
  );
  const key = await sender.put({ kind: "snapshot", epoch: header.epoch, first, last }, bytes);
  const all = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  return { key, bytes: all, sentBytes, segments: segments.length };
}

/** Segments of the last snapshot, by table, first key and content. */
async function knownSegments(
  sender: MetadataSender,
  { manifest, secrets }: { manifest: string | undefined; secrets: ExportSecrets | undefined },
): Promise<Map<string, SegmentEntry>> {
  const known = new Map<string, SegmentEntry>();
  if (manifest === undefined) return known;
  try {
    const { payload } = decodeMetadataObject(await sender.get(manifest), secrets?.secrets);
    for (const segment of decodeManifest(payload).segments) {
      known.set(`${segment.table} ${segment.first} ${hex(segment.content)}`, segment);
    }
  } catch (error) {
    // Then all of them are sent anew.
    if (!(error instanceof FormatError)) {
      if (!(error instanceof StoreError) || error.kind !== "missing") throw error;
    }
  }
  return known;
}
