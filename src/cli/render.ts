/** How reports look for people. Pure: text from plain data. */
import { formatBytes, formatDuration } from "../domain/units.ts";
import type {
  ByteClasses,
  FileReport,
  StatusReport,
  UnsafeReport,
} from "../daemon/control_protocol.ts";
import { count } from "./progress.ts";

/** What of a file is where, in one word. */
export function residency(file: FileReport): string {
  if (file.type !== "file") return file.pinned ? "pinned" : "";
  const pinned = file.pinned ? "+pinned" : "";
  if (file.local) return "never uploaded";
  if (file.dirty) return `dirty${pinned}`;
  if (file.allocatedBytes === 0) return `local${pinned}`;
  if (file.residentBytes === 0) return `evicted${pinned}`;
  if (file.residentBytes >= file.allocatedBytes) return `local${pinned}`;
  const share = Math.max(1, Math.floor(100 * file.residentBytes / file.allocatedBytes));
  return `${share}% local${pinned}`;
}

const TYPE_LETTER = { file: "-", directory: "d", link: "l", other: "?" } as const;

/** One line of `zero ls`. */
export function renderEntry(file: FileReport): string {
  const here = file.type === "file" ? formatBytes(file.residentBytes) : "";
  const size = file.type === "file" ? formatBytes(file.size) : "";
  const columns = [residency(file).padEnd(14), here.padStart(10), size.padStart(10)];
  return `${TYPE_LETTER[file.type]} ${columns.join("  ")}  ${file.path}`;
}

export const ENTRY_HEADER = `  ${"STATE".padEnd(14)}  ${"HERE".padStart(10)}  ${
  "SIZE".padStart(10)
}  NAME`;

/** What is not yet in the bucket. */
export function renderUnsafe(unsafe: UnsafeReport): string {
  if (unsafe.files === 0) return "everything is in the bucket";
  const eta = unsafe.etaMs === undefined ? "" : `, about ${formatDuration(unsafe.etaMs)}`;
  return `${count(unsafe.files)} (${formatBytes(unsafe.bytes)}) not yet in the bucket${eta}`;
}

function renderClasses(classes: ByteClasses): string[] {
  const names = ["pinned", "local", "dirty", "open", "reserved", "clean", "evicted"] as const;
  const rows = names.filter((name) => classes[name] > 0)
    .map((name) => `  ${name.padEnd(10)}${formatBytes(classes[name]).padStart(10)}`);
  return [...rows, `  ${"total".padEnd(10)}${formatBytes(classes.total).padStart(10)}`];
}

/** How far names and attributes in the bucket are behind those here. */
function renderMetadata(
  report: StatusReport["engine"]["metadata"],
  ago: (ms: number) => string,
): string {
  if (report === undefined) return "not sent to the bucket";
  const { behindKeys, behindSinceMs, lastShippedMs } = report;
  const last = lastShippedMs === undefined ? "" : `; last sent ${ago(lastShippedMs)} ago`;
  if (behindSinceMs === undefined) return `all in the bucket${last}`;
  return `${behindKeys} changes not in the bucket, for ${ago(behindSinceMs)}${last}`;
}

function renderPolicy({ policy, engine }: StatusReport): string[] {
  const rules = `${policy.rules} ${policy.rules === 1 ? "rule" : "rules"}`;
  const lines = [`policy    ${policy.file} (${rules})`];
  for (const line of policy.trouble?.split("\n") ?? []) lines.push(`          ${line}`);
  if (policy.trouble !== undefined) lines.push("          the previous one stays in force");
  if (engine.localFiles > 0) {
    lines.push(
      `local     ${count(engine.localFiles)} (${formatBytes(engine.localBytes)}) ` +
        "kept out of the bucket by the policy: lost with this disk",
    );
  }
  return lines;
}

/** What stands in the way of the mark, the largest first. */
function renderObstacles({ engine: { eviction } }: StatusReport): string[] {
  const { obstacles, limit, restsUntilMs } = eviction;
  const lines: string[] = [];
  if (restsUntilMs !== undefined) {
    const wait = formatDuration(Math.max(0, restsUntilMs - Date.now()));
    lines.push(
      `stopped   by the policy's breaker; evictions go on in ${wait}, or with a new policy`,
    );
  }
  if (obstacles === undefined) return lines;
  const { missing, refused, ...holders } = obstacles;
  lines.push(`above the mark by ${formatBytes(missing)}${limit ? ` (${limit})` : ""}, because of`);
  const rows = Object.entries(holders).filter(([, bytes]) => bytes > 0).sort((a, b) => b[1] - a[1]);
  for (const [name, bytes] of rows) {
    lines.push(`  ${name.padEnd(10)}${formatBytes(bytes).padStart(10)}`);
  }
  for (const [why, files] of Object.entries(refused)) {
    lines.push(`  refused: ${why}, ${count(files)}`);
  }
  return lines;
}

/** What is recorded of accesses, for zero policy replay. */
function renderTrace(trace: StatusReport["filesystem"]["trace"]): string[] {
  if (trace === undefined) return [];
  const { records, capacity, dropped, errno } = trace;
  const lost = dropped === 0 ? "" : `; ${dropped} could not be written`;
  const now = errno === undefined ? "" : ` (errno ${errno})`;
  return [`trace     ${records} accesses of at most ${capacity}${lost}${now}`];
}

function renderFollowing(
  { following }: StatusReport,
  ago: (ms: number) => string,
): string[] {
  if (following === undefined) return [];
  const { pointMs, lookedMs, waiting, trouble } = following;
  const point = pointMs === undefined ? "its creation" : new Date(pointMs).toISOString();
  const looked = lookedMs === undefined ? "not looked yet" : `looked ${ago(lookedMs)} ago`;
  const behind = waiting === 0 ? "nothing newer is in the bucket" : `${waiting} objects behind`;
  const stuck = trouble === undefined ? "" : ` (${trouble})`;
  return [`following as of ${point}; ${looked}; ${behind}${stuck}`];
}

function renderServing({ passthrough, reason, lent }: StatusReport["serving"]): string {
  if (!passthrough) return `visible only${reason === undefined ? "" : ` (${reason})`}`;
  return `passthrough and visible${lent === 0 ? "" : `, ${count(lent)} by passthrough now`}`;
}

export function renderStatus(status: StatusReport): string {
  const { filesystem, classes } = status;
  const { space } = filesystem;
  const ago = (ms: number) => formatDuration(Math.max(0, Date.now() - ms));
  const lines = [
    `${status.mountpoint}: ${status.state}${
      status.stateReason === undefined ? "" : ` (${status.stateReason})`
    } for ${ago(status.sinceMs)}, process ${status.pid}`,
    `store     ${status.store}`,
    `cache     ${status.cache}`,
    `id        ${status.fileSystem}${status.encrypted ? ", encrypted in the bucket" : ""}`,
    ...renderFollowing(status, ago),
    `serving   ${renderServing(status.serving)}`,
    `safety    ${renderUnsafe(status.unsafe)}`,
    ...renderPolicy(status),
    `names     ${renderMetadata(status.engine.metadata, ago)}`,
    `disk      ${formatBytes(space.used)} used of ${formatBytes(space.target)}; eviction from ${
      formatBytes(space.high)
    } to ${formatBytes(space.low)}; disk has ${formatBytes(space.diskFree)} free`,
    `files     ${filesystem.files}, ${filesystem.openHandles} open`,
    "bytes",
    ...renderClasses(classes),
  ];
  for (const { path, sinceMs, savedMs } of status.writing) {
    const saved = savedMs === undefined ? "never saved" : `last saved ${ago(savedMs)} ago`;
    lines.push(`writing   ${path}: open for writing for ${ago(sinceMs)}, ${saved}`);
  }
  lines.push(...renderTrace(filesystem.trace));
  for (const { program, pid, files, sinceMs } of filesystem.scanners ?? []) {
    lines.push(
      `scanner   ${program} (process ${pid}), for ${ago(sinceMs)}: ${count(files)} read, ` +
        "neither counted as used nor kept",
    );
  }
  if (filesystem.lostChunks > 0) lines.push(`lost      ${filesystem.lostChunks} chunks`);
  if (filesystem.defects > 0) lines.push(`defects   ${filesystem.defects}, see zero.log`);
  if (status.lastStoreError !== undefined) {
    const { message, atMs } = status.lastStoreError;
    lines.push(`last store error, ${ago(atMs)} ago: ${message}`);
  }
  if (status.waiting.length > 0) {
    lines.push("waiting");
    for (const each of status.waiting) {
      lines.push(
        `  process ${each.pid}: ${each.operation} of ${each.path}, for ${each.reason}, since ${
          ago(each.sinceMs)
        }`,
      );
    }
  }
  lines.push(...renderObstacles(status));
  for (const each of status.engine.waiting) lines.push(`note      ${each}`);
  lines.push("settings");
  for (const { name, value, origin } of status.settings) {
    lines.push(`  ${name.padEnd(17)} ${value}  [${origin}]`);
  }
  return lines.join("\n");
}
