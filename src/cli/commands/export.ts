/** `zero export`: a file system, or part of it, into a plain directory; from a cache or a bucket alone. */
import { resolve } from "node:path";
import { ExitCode, UserError } from "../../domain/errors.ts";
import { splitPath } from "../../domain/name_text.ts";
import { formatBytes } from "../../domain/units.ts";
import type { ExportSource } from "../../daemon/export_source.ts";
import type { ExportReport } from "../../daemon/export_tree.ts";
import { type CommandContext, withProgress } from "../context.ts";
import { keyFrom, type KeyOptions } from "../key_options.ts";
import { type PlaceOptions, settingsFrom } from "../places.ts";
import { count } from "../progress.ts";
import { requireText } from "../raw_arguments.ts";
import { json, parseTime, point, renderNotNewest } from "./recover.ts";

export interface ExportCommandOptions extends PlaceOptions, KeyOptions {
  at?: string;
  force?: boolean;
  verify?: boolean;
  json?: boolean;
}

export async function exportCommand(
  context: CommandContext,
  { path, directory, options }: { path: string; directory: string; options: ExportCommandOptions },
): Promise<number> {
  const { requirePlaces } = await import("../../daemon/mount_request.ts");
  const { holdsFilesystem, refuseTarget } = await import("../../daemon/cache_directory.ts");
  const { storeDirectory } = await import("../../daemon/open_store.ts");
  const { withBucket, withCache } = await import("../../daemon/export_source.ts");
  const names = splitPath(context.raw.path(path));
  const to = resolve(requireText(directory));
  const atMs = options.at === undefined ? undefined : parseTime(options.at);
  const settings = await settingsFrom(options);
  const { credentials, values } = settings;
  const { store, cache } = await requirePlaces(settings);
  const key = await keyFrom(settings, options);
  const alone = atMs !== undefined || (options.store !== undefined && options.cache === undefined);
  if (!alone && options.cache !== undefined && !holdsFilesystem(cache)) {
    throw new UserError(`${cache} holds no file system`, {
      hint: "without --cache, the bucket alone is used",
      exitCode: ExitCode.usage,
    });
  }
  refuseTarget(to, { cache, store: storeDirectory(store) });
  return await withProgress(options, (progress) => {
    const show = (text: string) => progress.show(text);
    return runExport(context, {
      ...options,
      names,
      to,
      parallel: values["recall.parallel"]!,
      progress: show,
      using: (action) =>
        alone || !holdsFilesystem(cache)
          ? withBucket({ store, credentials, key, atMs, progress: show }, action)
          : withCache({ cache, store, credentials, key }, action),
    });
  });
}

export interface ExportRun {
  names: Uint8Array[];
  to: string;
  parallel: number;
  force?: boolean;
  verify?: boolean;
  json?: boolean;
  progress: (text: string) => void;
  /** Opens what it comes from. */
  using: (action: (source: ExportSource) => Promise<ExportReport>) => Promise<ExportReport>;
}

/** Exports, and tells how it went. */
export async function runExport(context: CommandContext, run: ExportRun): Promise<number> {
  const { exportTree } = await import("../../daemon/export_tree.ts");
  const { names, to, parallel, progress } = run;
  const report = await run.using((source) =>
    exportTree(source, {
      names,
      to,
      parallel,
      progress,
      force: run.force === true,
      verify: run.verify === true,
    })
  );
  if (run.json) context.print(json(report));
  else for (const line of render(report)) context.print(line);
  if (report.problemCount > 0) return ExitCode.failure;
  return report.notNewest.length > 0 ? ExitCode.unsafe : ExitCode.ok;
}

function render(report: ExportReport): string[] {
  const { files, unchanged, bytes, downloaded, pointMs, problems, problemCount } = report;
  const there = unchanged === 0 ? "" : `; ${count(unchanged)} were there already`;
  const state = pointMs === undefined ? `from ${report.source}` : `as of ${point(pointMs)}`;
  const lines = [
    `restored ${count(files)}, ${formatBytes(bytes)} (${
      formatBytes(downloaded)
    } downloaded), to ${report.to}; ${state}${there}`,
  ];
  if (problemCount > 0) lines.push(`${problemCount} could not be restored as they should be:`);
  for (const { path, reason } of problems) lines.push(`  /${path}: ${reason}`);
  if (problemCount > problems.length) lines.push(`  and ${problemCount - problems.length} more`);
  const older = report.notNewest.filter(({ became }) => became !== "missing");
  if (older.length > 0) lines.push(...renderNotNewest({ notNewest: older }));
  for (const note of report.notes) lines.push(`note: ${note}`);
  return lines;
}
