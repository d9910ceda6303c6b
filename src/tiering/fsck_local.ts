/**
 * Reads confirmed chunks from the local disk, and compares them with the ids that the bucket knows them
 * by: a disk that rots, or a hand in the cache, is found while the bucket still has what was written.
 * Reads at a bounded pace. Changes nothing: which of the two is right, only the owner can say.
 */
import { Buffer } from "node:buffer";
import { contentPath } from "../content/content_path.ts";
import { Errno, errnoName } from "../domain/errno.ts";
import { chunkId } from "../format/codec.ts";
import { IntegrityChecks } from "../metadata/integrity_checks.ts";
import { type LocalChunk, LocalChunks, type ResidentFile } from "../metadata/local_chunks.ts";
import { sleep } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import type { DeepOptions } from "./fsck_deep.ts";
import type { LocalReport } from "./fsck_report.ts";
import { Pace } from "./pace.ts";

/** As of the packs: `share` is one of the files, and `pick` is asked for each. */
export interface LocalOptions
  extends Omit<DeepOptions, "store" | "after" | "onVerified" | "onDamage"> {
  /** The cache directory. */
  cache: string;
  /** Somebody serves the cache meanwhile: what looks wrong is asked again, so much later. */
  askAgainMs: number | undefined;
  onWrong: (inode: number, what: string) => void;
}

const PAGE_INODES = 2_000;
const PAGE_CHUNKS = 500;

/** Rejects with the signal's reason. */
export async function verifyLocal(options: LocalOptions): Promise<LocalReport> {
  const { share, pick, signal, clock, bytesPerSecond, onProgress } = options;
  const table = new LocalChunks(options.database);
  const report: LocalReport = { files: 0, chunks: 0, bytes: 0, wrong: 0 };
  const pace = new Pace({ clock, bytesPerSecond, signal });
  const buffer = new Uint8Array(table.chunkSize);
  const highest = new IntegrityChecks(options.database).highest("inode");
  for (let from = 0; from < highest; from += PAGE_INODES) {
    for (const file of table.files({ from, until: from + PAGE_INODES })) {
      signal.throwIfAborted();
      if (pick() >= share) continue;
      await verifyFile(file, { ...options, table, report, pace, buffer });
      report.files++;
      if (report.files % 1_000 === 0) onProgress?.(`compared ${report.files} local files`);
    }
  }
  return report;
}

type FileOptions = LocalOptions & {
  table: LocalChunks;
  report: LocalReport;
  pace: Pace;
  buffer: Uint8Array<ArrayBuffer>;
};

async function verifyFile(file: ResidentFile, options: FileOptions): Promise<void> {
  const { table, report, pace, onWrong, askAgainMs } = options;
  for (let after = -1;;) {
    const page = table.chunks(file.inode, { after, limit: PAGE_CHUNKS });
    for (const chunk of page) {
      after = chunk.idx;
      report.chunks++;
      report.bytes += chunk.length;
      const fault = faultOf(file, chunk, options);
      if (fault !== undefined && await isWrong(file, chunk, options)) {
        report.wrong++;
        onWrong(file.inode, `chunk ${chunk.idx}: ${fault}`);
      }
      await pace.spent(chunk.length);
      // Whoever else lives in this isolate has its turn.
      if (askAgainMs !== undefined) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    if (page.length < PAGE_CHUNKS) return;
  }
}

/** What is wrong with a chunk's bytes; undefined: nothing. */
function faultOf(
  file: ResidentFile,
  chunk: LocalChunk,
  { cache, table, secrets, buffer }: FileOptions,
): string | undefined {
  const { inode, incarnation } = file;
  const bytes = buffer.subarray(0, chunk.length);
  const path = contentPath(`${cache}/content`, inode, incarnation);
  const fd = libc.open(path, libc.O.RDONLY | libc.O.NOFOLLOW);
  if (fd < 0) return fd === -Errno.ENOENT ? undefined : unreadable(fd);
  const got = libc.pread(fd, bytes, chunk.idx * table.chunkSize);
  libc.close(fd);
  if (got < 0) return unreadable(got);
  // What is missing is told of by the check of lengths.
  if (got < chunk.length) return undefined;
  return Buffer.from(chunkId(bytes, secrets)).equals(chunk.hash)
    ? undefined
    : "its bytes here are not those that the bucket has";
}

const unreadable = (result: number) => `it cannot be read: ${errnoName(-result)}`;

/** Whether a fault is one: rows that are served can be behind what is on the disk, and content can go. */
async function isWrong(
  file: ResidentFile,
  chunk: LocalChunk,
  options: FileOptions,
): Promise<boolean> {
  const { askAgainMs, clock, signal, table } = options;
  if (askAgainMs === undefined) return true;
  await sleep(clock, askAgainMs, signal);
  return table.isSo(file, chunk) && faultOf(file, chunk, options) !== undefined;
}
