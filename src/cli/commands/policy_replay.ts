/**
 * `zero policy replay` and `zero policy trace`: what policies would have done with the accesses that
 * were recorded, and the record itself. Reads only; the mount is not waited for.
 */
import { ExitCode, UserError } from "../../domain/errors.ts";
import { parseBytes } from "../../domain/units.ts";
import { readTrace, shareTrace } from "../../daemon/access_trace_file.ts";
import type { Preview } from "../../daemon/preview.ts";
import {
  loadForReplay,
  type ReplayedPolicy,
  type ReplayReport,
  runReplay,
} from "../../daemon/replay.ts";
import { renderReplay, renderSummary, summarize } from "../../daemon/replay_reports.ts";
import { type CommandContext, targetOrOnlyMount } from "../context.ts";
import { withPreview } from "./policy_preview.ts";

export interface ReplayOptions {
  trace?: string;
  mount?: string;
  cache?: string;
  target?: string;
  json?: boolean;
}

export async function policyReplayCommand(
  context: CommandContext,
  files: string[],
  options: ReplayOptions,
): Promise<number> {
  const target = options.target === undefined ? undefined : targetOf(options.target);
  const print = (report: ReplayReport) => {
    if (options.json) context.print(JSON.stringify(report, null, 2));
    else for (const line of renderReplay(report)) context.print(line);
  };
  const { trace } = options;
  if (trace !== undefined && options.cache === undefined && options.mount === undefined) {
    if (files.length === 0) {
      throw new UserError("no policy was named", {
        hint: "name files: zero policy replay --trace FILE POLICY…",
        exitCode: ExitCode.usage,
      });
    }
    const policies = files.map((file) => loadForReplay(file, { target }));
    print(runReplay({ events: readTrace(trace).inOrderOfTime(), policies }));
    console.error("zero: the names of the files are not known, so no rule matched one by its path");
    return ExitCode.ok;
  }
  const place = options.cache ?? targetOrOnlyMount(context, options.mount).mount;
  await withPreview(place, (preview) => {
    const path = trace ?? preview.tracePath;
    const policies = policiesOf(preview, { files, target });
    print(runReplay({
      events: readTrace(path).inOrderOfTime(),
      policies,
      chunkSize: preview.chunkSize,
      describe: preview.describe(),
      ...(preview.prices === undefined ? {} : { prices: preview.prices }),
    }));
  });
  return ExitCode.ok;
}

/** The policies in the files, or the one in force. */
function policiesOf(
  preview: Preview,
  { files, target }: { files: string[]; target: number | undefined },
): ReplayedPolicy[] {
  const wanted = files.length === 0 ? [undefined] : files;
  return wanted.map((file) => preview.replayed(file, { target }));
}

function targetOf(text: string): number {
  const target = parseBytes(text);
  if (target > 0) return target;
  throw new UserError(`--target ${text} is no disk`, {
    hint: "write a size, such as 200GiB",
    exitCode: ExitCode.usage,
  });
}

export async function policyTraceCommand(
  context: CommandContext,
  mount: string | undefined,
  options: { cache?: string; export?: string; json?: boolean },
): Promise<number> {
  const place = options.cache ?? targetOrOnlyMount(context, mount).mount;
  await withPreview(place, (preview) => {
    const events = readTrace(preview.tracePath).inOrderOfTime();
    const summary = summarize(events);
    if (options.export !== undefined) shareTrace(events, options.export);
    if (options.json) return context.print(JSON.stringify(summary, null, 2));
    for (const line of renderSummary(summary)) context.print(line);
    if (options.export !== undefined) context.print(`copied to ${options.export}, without names`);
  });
  return ExitCode.ok;
}
