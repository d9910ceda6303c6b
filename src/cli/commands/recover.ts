/** `zero recover`: a file system back from its bucket alone; whole, for practice, or some files of it. */
import { resolve } from "node:path";
import { ExitCode, UserError } from "../../domain/errors.ts";
import { parseName, printName, splitPath } from "../../domain/name_text.ts";
import { formatBytes, formatDuration } from "../../domain/units.ts";
import type { RecoverReport, RecoverRequest } from "../../daemon/recover.ts";
import type { DrillReport } from "../../daemon/recover_drill.ts";
import { type CommandContext, withProgress } from "../context.ts";
import { keyFrom, type KeyOptions } from "../key_options.ts";
import { type PlaceOptions, settingsFrom } from "../places.ts";
import { count } from "../progress.ts";
import { requireText } from "../raw_arguments.ts";

export interface RecoverOptions extends PlaceOptions, KeyOptions {
  at?: string;
  takeOver?: boolean;
  drill?: boolean;
  samples: string;
  path?: string;
  to?: string;
  json?: boolean;
}

export async function recoverCommand(
  context: CommandContext,
  options: RecoverOptions,
): Promise<number> {
  const { requirePlaces } = await import("../../daemon/mount_request.ts");
  const settings = await settingsFrom(options);
  const { store, cache } = await requirePlaces(settings);
  if ((options.path === undefined) !== (options.to === undefined)) {
    throw usage("--path and --to belong together", "zero recover --path Photos --to ./photos");
  }
  const { credentials } = settings;
  const key = await keyFrom(settings, options);
  const atMs = options.at === undefined ? undefined : parseTime(options.at);
  return await withProgress(options, async (progress) => {
    const show = (text: string) => progress.show(text);
    const request = { store, cache, credentials, key, atMs, progress: show };
    if (options.path !== undefined) {
      const parallel = settings.values["recall.parallel"]!;
      return await files(context, { ...options, request, parallel });
    }
    if (options.drill) return await practise(context, { ...options, request });
    const { recoverFilesystem } = await import("../../daemon/recover.ts");
    const report = await recoverFilesystem({ ...request, takeOver: options.takeOver === true });
    progress.done();
    if (options.json) context.print(json(report));
    else for (const line of renderRecovery(report)) context.print(line);
    return report.notNewest.length === 0 ? ExitCode.ok : ExitCode.unsafe;
  });
}

type Request = Omit<RecoverRequest, "takeOver">;

async function practise(
  context: CommandContext,
  options: RecoverOptions & { request: Request },
): Promise<number> {
  const { drill, drillCode } = await import("../../daemon/recover_drill.ts");
  if (!/^\d{1,6}$/.test(options.samples)) {
    throw usage(`'${options.samples}' is not a number of files`, "such as --samples 20");
  }
  const report = await drill({ ...options.request, samples: Number(options.samples) });
  context.print(options.json ? json(report) : renderDrill(report).join("\n"));
  return drillCode(report);
}

async function files(
  context: CommandContext,
  options: RecoverOptions & { request: Request; parallel: number },
): Promise<number> {
  const { withBucket } = await import("../../daemon/export_source.ts");
  const { refuseTarget } = await import("../../daemon/cache_directory.ts");
  const { storeDirectory } = await import("../../daemon/open_store.ts");
  const { runExport } = await import("./export.ts");
  const to = resolve(requireText(options.to!));
  refuseTarget(to, { store: storeDirectory(options.request.store) });
  return await runExport(context, {
    ...options,
    names: splitPath(parseName(options.path!)),
    to,
    parallel: options.parallel,
    progress: options.request.progress,
    using: (action) => withBucket(options.request, action),
  });
}

/** Names are bytes: printed as everywhere. */
export function json(report: object): string {
  return JSON.stringify(
    report,
    (_, value) => value instanceof Uint8Array ? printName(value) : value,
  );
}

export const point = (ms: number | undefined) =>
  ms === undefined ? "its creation" : new Date(ms).toISOString();

function renderRecovery(report: RecoverReport): string[] {
  const lines = [
    `recovered file system ${report.fileSystem} from ${report.store} into ${report.cache}`,
    `as of ${point(report.pointMs)}: later changes were not in the bucket`,
    `${report.files} files and directories from ${formatBytes(report.bytes)} of metadata ` +
    `in ${formatDuration(report.milliseconds)}; all content is in the bucket`,
  ];
  if (report.policy !== undefined) {
    lines.push(
      `the policy that was in force lies in ${report.policy}; it is not in force: ` +
        "copy it, and name it with `policy:` in the configuration",
    );
  }
  if (report.tookOver !== undefined) lines.push(`took over from ${report.tookOver}`);
  return [...lines, ...renderNotNewest(report), ...report.notes.map((note) => `note: ${note}`)];
}

export function renderNotNewest({ notNewest }: Pick<RecoverReport, "notNewest">): string[] {
  if (notNewest.length === 0) return ["every file is in its newest state that was told"];
  return [
    `${count(notNewest.length)} not in the newest state:`,
    ...notNewest.map(({ path, became, savedMs, newestSize, size }) => {
      const name = `/${printName(path)}`;
      switch (became) {
        case "older":
          return `  older: ${name} (as saved ${point(savedMs)}, ${formatBytes(size ?? 0)})`;
        case "predecessor":
          return `  the file it had replaced: ${name} (saved ${point(savedMs)}, ${
            formatBytes(size ?? 0)
          })`;
        case "missing":
          return `  left out: ${name} (its ${formatBytes(newestSize)} never reached the bucket)`;
      }
    }),
  ];
}

function renderDrill(report: DrillReport): string[] {
  const { compared, sampled } = report;
  const lines = [
    `drill: file system ${report.fileSystem} can be recovered from ${report.store}`,
    `recovery point ${point(report.pointMs)}, ${
      formatDuration(Math.max(0, Date.now() - (report.pointMs ?? Date.now())))
    } ago; took ${formatDuration(report.milliseconds)}`,
    `${report.files} files and directories, tree ${report.digest}`,
  ];
  if (compared === undefined) lines.push(`no cache in ${report.cache} to compare with`);
  else if (compared.differences === 0) lines.push("the cache shows the same tree");
  else {
    lines.push(`${compared.differences} names differ from the cache (tree ${compared.digest}):`);
    lines.push(...compared.examples.map((each) => `  ${each}`));
  }
  lines.push(`content of ${count(sampled.files)} checked, ${formatBytes(sampled.bytes)}`);
  lines.push(...sampled.failed.map((each) => `  damaged: ${each}`));
  return [...lines, ...renderNotNewest(report), ...report.notes.map((note) => `note: ${note}`)];
}

/** ISO 8601, such as 2026-01-31T12:00:00Z; without a zone, in the local one. */
export function parseTime(text: string): number {
  const ms = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text)
    ? Date.parse(text)
    : NaN;
  if (Number.isNaN(ms)) throw usage(`'${text}' is not a time`, "such as 2026-01-31T12:00:00Z");
  return ms;
}

function usage(message: string, hint: string): UserError {
  return new UserError(message, { hint, exitCode: ExitCode.usage });
}
