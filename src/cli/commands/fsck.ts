/** `zero fsck`: checks a cache that is not mounted, or one that is, as far as that goes. */
import { ExitCode, UserError } from "../../domain/errors.ts";
import { formatBytes } from "../../domain/units.ts";
import { isServed } from "../../daemon/cache_directory.ts";
import type { DeepRequest } from "../../daemon/care_requests.ts";
import { type ZeroMount, zeroMounts } from "../../daemon/find_mount.ts";
import type { FsckReport } from "../../daemon/fsck_types.ts";
import { type CommandContext, targetOf, withProgress } from "../context.ts";
import { callDaemon } from "../control_client.ts";
import { keyFrom, type KeyOptions } from "../key_options.ts";
import { settingsFrom } from "../places.ts";
import type { Progress } from "../progress.ts";

export interface FsckCommandOptions extends KeyOptions {
  config?: string;
  cache?: string;
  store?: string;
  bucket: boolean;
  repair?: boolean;
  deep?: boolean;
  sample?: string;
  bandwidth?: string;
  restart?: boolean;
  json?: boolean;
}

export async function fsckCommand(
  context: CommandContext,
  path: string | undefined,
  options: FsckCommandOptions,
): Promise<number> {
  const deep = await deepRequest(options);
  const report = await withProgress(options, async (progress) => {
    if (path !== undefined) {
      return await mounted(targetOf(context, path).mount, { options, deep, progress });
    }
    const settings = await settingsFrom({ ...options, store: options.store });
    const { cache } = settings.values;
    if (cache === undefined) throw noCache();
    const mount = isServed(cache) ? zeroMounts().find((each) => each.cache === cache) : undefined;
    if (mount !== undefined) return await mounted(mount, { options, deep, progress });
    return await offline(cache, { options, deep, progress });
  });
  if (options.json) context.print(JSON.stringify(report, null, 2));
  else for (const line of render(report)) context.print(line);
  return (report.left ?? report.problems) === 0 ? ExitCode.ok : ExitCode.failure;
}

interface How {
  options: FsckCommandOptions;
  deep: DeepRequest | undefined;
  progress: Progress;
}

async function mounted(mount: ZeroMount, { options, deep, progress }: How): Promise<FsckReport> {
  if (options.repair) {
    throw new UserError("a mounted cache is not repaired", {
      hint: `zero unmount it, then zero fsck --repair --cache '${mount.cache}'`,
      exitCode: ExitCode.refused,
    });
  }
  const request = { command: "fsck", deep } as const;
  return await callDaemon<FsckReport>(mount, request, progress.follow("checking"));
}

async function offline(cache: string, { options, deep, progress }: How): Promise<FsckReport> {
  const { fsckOffline, storeOfCache } = await import("../../daemon/fsck_offline.ts");
  const url = options.store ?? storeOfCache(cache);
  const { config, passphraseFile, passphraseCommand } = options;
  const settings = await settingsFrom({ config, store: url, passphraseFile, passphraseCommand });
  const { credentials } = settings;
  return await fsckOffline({
    cache,
    store: options.bucket ? { url, credentials } : undefined,
    repair: options.repair === true,
    deep,
    key: await keyFrom(settings, options),
    signal: new AbortController().signal,
    onProgress: (text) => progress.show(`checking: ${text}`),
  });
}

function noCache(): UserError {
  return new UserError("no cache was given", {
    hint: "zero fsck --cache DIR, or zero fsck PATH on a mount",
    exitCode: ExitCode.usage,
  });
}

async function deepRequest(options: FsckCommandOptions): Promise<DeepRequest | undefined> {
  const { deep, sample, bandwidth, restart = false } = options;
  if (deep !== true) {
    if (sample === undefined && bandwidth === undefined && !restart) return undefined;
    throw new UserError("--sample, --bandwidth and --restart belong to --deep", {
      hint: "zero fsck --deep --sample 5%",
      exitCode: ExitCode.usage,
    });
  }
  const { parseValue } = await import("../../daemon/settings.ts");
  return { share: shareOf(sample), bytesPerSecond: rateOf(bandwidth), restart };

  function rateOf(text: string | undefined): number | undefined {
    return text === undefined ? undefined : parseValue("rate", text);
  }
}

function shareOf(text: string | undefined): number {
  if (text === undefined) return 1;
  const percent = Number(/^(\d+(?:\.\d+)?)\s*%?$/.exec(text)?.[1]);
  if (percent > 0 && percent <= 100) return percent / 100;
  throw new UserError(`'${text}' is not a share`, {
    hint: "such as --sample 5%",
    exitCode: ExitCode.usage,
  });
}

function render(report: FsckReport): string[] {
  const { counts, deep, local } = report;
  const lines = [
    `${report.cache}${report.mounted ? " (mounted)" : ""}: ${counts.inodes} inodes, ` +
    `${counts.contentFiles} content files, ${counts.chunks} chunks, ${counts.packs} packs`,
  ];
  for (const { result, title, problems, why } of report.checks) {
    if (result === "skipped") lines.push(`skipped  ${title}: ${why}`);
    else if (result === "ok") lines.push(`ok       ${title}`);
    else lines.push(`WRONG    not so, ${problems} times: ${title}`);
  }
  for (const { check, path, id, what } of report.findings) {
    const place = path ?? (id === undefined ? "" : `${id}`);
    lines.push(`  ${check}: ${place}${place === "" ? "" : ": "}${what}`);
  }
  if (deep !== undefined) {
    lines.push(
      `read     ${deep.chunks} chunks of ${deep.packs} packs, ${formatBytes(deep.bytes)}; ` +
        `${deep.damaged} damaged`,
    );
  }
  if (local !== undefined) {
    lines.push(
      `read     ${local.chunks} chunks of ${local.files} local files, ` +
        `${formatBytes(local.bytes)}; ${local.wrong} wrong`,
    );
  }
  for (const notice of report.notices) lines.push(`note     ${notice}`);
  for (const done of report.repaired) lines.push(`repaired ${done}`);
  const left = report.left ?? report.problems;
  lines.push(left === 0 ? "no problems" : `${left} problems`);
  return lines;
}
