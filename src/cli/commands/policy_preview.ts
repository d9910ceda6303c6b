/**
 * `zero policy check`, `explain` and `diff`, and `zero why`: what a policy would do and why, from
 * read-only databases. The mount is asked who has files open, and is not waited for.
 */
import { ExitCode, UserError } from "../../domain/errors.ts";
import { printName } from "../../domain/name_text.ts";
import type { PolicyState } from "../../daemon/control_protocol.ts";
import type { ZeroMount } from "../../daemon/find_mount.ts";
import { parseTime, Preview } from "../../daemon/preview.ts";
import { planJson, type PlanReport, renderPlan } from "../../daemon/plan_report.ts";
import {
  diffJson,
  explanationLines,
  renderDiff,
  renderJournal,
  rowFilter,
} from "../../daemon/policy_reports.ts";
import { printJson } from "../../daemon/json_text.ts";
import { type CommandContext, targetOf, targetOrOnlyMount } from "../context.ts";
import { terminalColumns } from "../terminal.ts";
import { callDaemon } from "../control_client.ts";

export interface PreviewOptions {
  policy?: string;
  cache?: string;
  at?: string;
  path?: string;
  limit?: string;
  json?: boolean;
}

/** A daemon that says nothing for so long is not waited for. */
const ANSWER_MS = 1_000;
/** Files shown to people, and to programs. */
const SHOWN = 40;

function limitOf(options: PreviewOptions): number {
  if (options.limit === undefined) return options.json ? Infinity : SHOWN;
  const limit = Number(options.limit);
  if (Number.isInteger(limit) && limit >= 0) return limit;
  throw new UserError(`--limit ${options.limit} is no number`, {
    hint: "a whole number of files, such as 100",
    exitCode: ExitCode.usage,
  });
}

/** Opens the databases behind a mount or a cache, and asks the daemon what only it knows. */
export async function withPreview<T>(
  mount: ZeroMount | string,
  action: (preview: Preview) => T,
): Promise<T> {
  const cache = typeof mount === "string" ? mount : mount.cache;
  const state = typeof mount === "string" ? undefined : await liveState(mount);
  const preview = new Preview(cache);
  try {
    if (state !== undefined) {
      const open = new Map(state.open.map(({ inode, writing }) => [inode, { writing }]));
      preview.live = { open, reserved: state.reserved, leaving: state.leaving };
    }
    return action(preview);
  } finally {
    preview.close();
  }
}

async function liveState(mount: ZeroMount): Promise<PolicyState | undefined> {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), ANSWER_MS);
  let why = "";
  // Not there, too old, or silent: the databases say the rest.
  const state = await callDaemon<PolicyState>(
    mount,
    { command: "policyState" },
    () => {},
    patience.signal,
  ).catch((error) => {
    why = patience.signal.aborted ? "it is silent" : String(error);
    return undefined;
  });
  clearTimeout(timer);
  if (state === undefined) {
    const where = printName(mount.mountpoint);
    console.error(
      `zero: the daemon of ${where} does not answer (${why}): who has files open is not known`,
    );
  }
  return state;
}

const timeOf = (options: PreviewOptions): number =>
  options.at === undefined ? Date.now() : parseTime(options.at, { now: Date.now() });

export async function policyCheckCommand(
  context: CommandContext,
  place: string | undefined,
  options: PreviewOptions,
): Promise<number> {
  const target = options.cache ?? targetOrOnlyMount(context, place).mount;
  const limit = limitOf(options);
  const now = timeOf(options);
  return await withPreview(target, (preview) => {
    const candidate = preview.policy(options.policy);
    const { seen, shown } = rowFilter(options.path);
    const result = preview.plan(candidate, { atMs: now, seen });
    const report: PlanReport = {
      plan: result,
      candidate,
      warnings: preview.warnings(candidate, result),
      cost: preview.cost(candidate, { now: Date.now() }),
      shown,
      limit,
    };
    if (options.json) {
      printJson(context.print, planJson(report));
    } else {
      const columns = terminalColumns();
      for (const line of renderPlan(report, { now, columns })) context.print(line);
    }
    if (result.unmet !== undefined) return ExitCode.unmet;
    const { evict, upload } = result.totals;
    return evict.files + upload.files > 0 ? ExitCode.plan : ExitCode.ok;
  });
}

export async function policyExplainCommand(
  context: CommandContext,
  paths: string[],
  options: PreviewOptions,
): Promise<number> {
  const now = timeOf(options);
  for (const path of paths) {
    const { mount, names } = targetOf(context, path);
    await withPreview(mount, (preview) => {
      const explanation = preview.explain(preview.policy(options.policy), { names, atMs: now });
      if (options.json) {
        const { names: tried, decision, score, stages } = explanation;
        context.print(JSON.stringify({ names: tried, decision, score, stages }, null, 2));
      } else for (const line of explanationLines(explanation, now)) context.print(line);
    });
  }
  return ExitCode.ok;
}

export async function policyDiffCommand(
  context: CommandContext,
  files: { old: string; new: string },
  options: PreviewOptions & { mount?: string },
): Promise<number> {
  const target = options.cache ?? targetOrOnlyMount(context, options.mount).mount;
  const limit = limitOf(options);
  return await withPreview(target, (preview) => {
    const [before, after] = [preview.policy(files.old), preview.policy(files.new)];
    const diff = preview.diff(before, after, { atMs: timeOf(options) });
    if (options.json) printJson(context.print, diffJson(diff, limit));
    else {
      const currency = preview.prices?.currency;
      for (const line of renderDiff(diff, { limit, currency, columns: terminalColumns() })) {
        context.print(line);
      }
    }
    return diff.files === 0 ? ExitCode.ok : ExitCode.plan;
  });
}

export async function whyCommand(
  context: CommandContext,
  path: string,
  options: PreviewOptions,
): Promise<number> {
  const { mount, names } = targetOf(context, path);
  await withPreview(mount, (preview) => {
    const candidate = preview.policy(undefined);
    const { facts, journal } = preview.why(candidate, names);
    if (options.json) return context.print(JSON.stringify({ facts, journal }, null, 2));
    for (const line of renderJournal(facts, journal)) context.print(line);
    const now = Date.now();
    const lines = explanationLines(preview.explain(candidate, { names, atMs: now }), now);
    for (const line of lines) context.print(line);
  });
  return ExitCode.ok;
}
