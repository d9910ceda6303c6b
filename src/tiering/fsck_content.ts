/**
 * Content files against rows: every resident chunk has its bytes, and every content file is named by a
 * row. Looks folder by folder; reads lengths only.
 */
import { contentPath, parseContentName } from "../content/content_path.ts";
import type { MetadataDatabase } from "../metadata/database.ts";
import type { IntegrityChecks } from "../metadata/integrity_checks.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import type { ReportBuilder } from "./fsck_report.ts";

export interface ContentFaults {
  /** Content files that were looked at. */
  seen: number;
  /** Files whose content ends before their resident chunks do; `length` is what is there. */
  short: { inode: number; length: number }[];
  /** Paths of content files that no row names. */
  garbage: string[];
}

interface ContentOptions {
  cache: string;
  database: MetadataDatabase;
  checks: IntegrityChecks;
  builder: ReportBuilder;
  clock: Clock;
  signal: AbortSignal;
  mounted: boolean;
  askAgainMs: number;
}

const PAGE_INODES = 2_000;

export async function checkContent(options: ContentOptions): Promise<ContentFaults> {
  const short = await missingBytes(options);
  const { seen, garbage } = await unnamedFiles(options);
  return { seen, short, garbage };
}

/** Bytes of a content file; 0 where there is none. */
function lengthOf(cache: string, file: { inode: number; incarnation: number }): number {
  const { inode, incarnation } = file;
  const status = libc.lstat(contentPath(`${cache}/content`, inode, incarnation));
  return typeof status === "number" ? 0 : status.size;
}

async function missingBytes(options: ContentOptions): Promise<ContentFaults["short"]> {
  const { cache, checks, builder, mounted, signal, clock, askAgainMs } = options;
  const check = builder.begin("content", "every resident chunk has its bytes on the local disk");
  const look = (range: { from: number; until: number }) =>
    checks.residentFiles(range).flatMap((file) => {
      const length = lengthOf(cache, file);
      return length >= file.bytes ? [] : [{ ...file, length }];
    });
  let short: ReturnType<typeof look> = [];
  const highest = checks.highest("inode");
  for (let from = 0; from < highest; from += PAGE_INODES) {
    signal.throwIfAborted();
    short.push(...look({ from, until: from + PAGE_INODES }));
    if (mounted) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  if (mounted && short.length > 0) {
    await sleep(clock, askAgainMs, signal);
    short = short.flatMap(({ inode }) => look({ from: inode - 1, until: inode }));
  }
  for (const { inode, length, bytes } of short) {
    builder.problem(check, {
      id: inode,
      path: checks.printedPathOf(inode),
      what: `${length} bytes of its content are there, ${bytes} are needed`,
    });
  }
  return short.map(({ inode, length }) => ({ inode, length }));
}

async function unnamedFiles(
  options: ContentOptions,
): Promise<{ seen: number; garbage: string[] }> {
  const { cache, checks, builder, mounted, clock, signal, askAgainMs, database } = options;
  const check = builder.begin("garbage", "every content file is named by a row");
  const isNamed = (name: string) => {
    const parsed = parseContentName(name);
    return parsed !== undefined && checks.incarnation(parsed.inode) === parsed.incarnation;
  };
  let seen = 0;
  let unnamed: { path: string; name: string }[] = [];
  for (const folder of folders(`${cache}/content`)) {
    signal.throwIfAborted();
    for (const { name, isFile } of Deno.readDirSync(folder)) {
      if (!isFile) continue;
      seen++;
      if (!isNamed(name)) unnamed.push({ path: `${folder}/${name}`, name });
    }
    if (mounted) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  if (mounted && unnamed.length > 0) {
    await sleep(clock, askAgainMs, signal);
    unnamed = unnamed.filter(({ path, name }) =>
      !isNamed(name) && typeof libc.lstat(path) !== "number"
    );
  }
  // What a crash leaves is removed by the next mount; it is no problem.
  const expected = !mounted && !database.wasClean;
  if (expected && unnamed.length > 0) {
    builder.report.notices.push(`${unnamed.length} content files are left from an unclean end`);
  }
  if (!expected) {
    for (const { path } of unnamed) builder.problem(check, { path, what: "no row names it" });
  }
  return { seen, garbage: unnamed.map(({ path }) => path) };
}

/** Folders that hold content files: two levels below. */
function* folders(directory: string): Iterable<string> {
  if (typeof libc.lstat(directory) === "number") return;
  for (const top of Deno.readDirSync(directory)) {
    if (!top.isDirectory) continue;
    for (const leaf of Deno.readDirSync(`${directory}/${top.name}`)) {
      if (leaf.isDirectory) yield `${directory}/${top.name}/${leaf.name}`;
    }
  }
}
