/**
 * The policy that a mount works by, and what it settles: its disk and upload settings stand between
 * the configuration and the defaults. Reads policy files; decides nothing about files on the mount.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import type { FilesystemSettings } from "../filesystem/protocol.ts";
import { globSource } from "../policy/glob.ts";
import { loadPolicy } from "../policy/load.ts";
import type { Amount as PolicyAmount, Policy } from "../policy/model.ts";
import { renderProblem } from "../policy/problems.ts";
import { bandwidthAt, localTime } from "../policy/timetable.ts";
import * as libc from "../runtime/libc.ts";
import { BUILT_IN_POLICY_FILE, BUILT_IN_POLICY_TEXT } from "../tiering/default_policy.ts";
import { DEFAULT_ENGINE_SETTINGS, type EngineSettings } from "../tiering/settings.ts";
import { LIMITS } from "./limits.ts";
import { readPolicyText } from "./policy_files.ts";
import type { ResolvedSettings } from "./resolve_settings.ts";
import { type Amount, resolveMarks, type SettingName, type SettingValues } from "./settings.ts";

/** What df shows where nothing else is configured, in disk targets: most of it lies in the bucket. */
const CAPACITY_TARGETS = 10;

/** A policy with the text it was read from. */
export interface LoadedPolicy {
  policy: Policy;
  text: string;
  /** For people. */
  file: string;
}

/** The policy in a file, or the built-in one. Throws UserError that lists every error with its place. */
export function loadPolicyFile(path: string | undefined): LoadedPolicy {
  const file = path ?? BUILT_IN_POLICY_FILE;
  const text = path === undefined ? BUILT_IN_POLICY_TEXT : readPolicyText(path);
  return parsePolicy(text, file);
}

/** The same from a text. */
export function parsePolicy(text: string, file: string): LoadedPolicy {
  const { policy, problems } = loadPolicy(text, { file, now: Date.now() });
  if (policy !== undefined) return { policy, text, file };
  const errors = problems.filter((problem) => problem.severity === "error");
  throw new UserError(errors.map(renderProblem).join("\n"), {
    hint: `zero policy lint '${file}' shows warnings, too`,
    exitCode: ExitCode.usage,
  });
}

/** A share of 0.85 as 85 %, without the last digits of binary fractions. */
const percent = (share: number) => ({ percent: Math.round(share * 1e8) / 1e6 });

function amount(from: PolicyAmount | undefined): Amount | undefined {
  if (from === undefined) return undefined;
  return "bytes" in from ? from : percent(from.share);
}

/** What a policy says where neither command line, environment nor configuration do. */
export function withPolicy(
  settings: Pick<ResolvedSettings, "values" | "origins">,
  { policy, file }: LoadedPolicy,
): Pick<ResolvedSettings, "values" | "origins"> {
  const values: SettingValues = { ...settings.values };
  const origins = { ...settings.origins };
  const { disk, upload } = policy;
  const rate = bandwidthAt(upload.bandwidth, localTime(Date.now()));
  const said: Partial<SettingValues> = {
    "disk.target": amount(disk.target),
    "disk.high": percent(disk.high),
    "disk.low": percent(disk.low),
    "disk.hard": percent(disk.hard),
    "disk.min_free": amount(disk.minFree),
    "upload.after": upload.afterMs,
    "upload.deadline": upload.deadlineMs,
    // As it is now: a timetable's changes with time. 0: nothing is sent.
    "upload.bandwidth": Number.isFinite(rate) ? rate : undefined,
  };
  for (const name of Object.keys(said) as SettingName[]) {
    const value = said[name];
    if (value === undefined || (origins[name] ?? "default") !== "default") continue;
    // What a policy leaves out has the same default as here.
    if (JSON.stringify(value) === JSON.stringify(values[name])) continue;
    Object.assign(values, { [name]: value });
    origins[name] = `policy (${file})`;
  }
  return { values, origins };
}

/** What the filesystem isolate works by. Throws UserError where marks contradict each other or the disk. */
export function filesystemSettings(
  values: SettingValues,
  { policy, cache }: { policy: Policy; cache: string },
): FilesystemSettings {
  const volume = libc.statvfs(cache);
  if (typeof volume === "number") {
    throw new UserError(`the disk of the cache ${cache} cannot be looked at: errno ${-volume}`);
  }
  const marks = resolveMarks(values, {
    diskBytes: volume.totalBytes,
    minFreeMax: LIMITS.MIN_FREE_BYTES,
  });
  return {
    ...marks,
    recallTimeoutMs: values["recall.timeout"]!,
    spaceTimeoutMs: values["space.timeout"]!,
    capacity: values.capacity ?? CAPACITY_TARGETS * marks.target,
    halfLifeMs: policy.evict.order.halfLifeMs,
    readers: policy.readers.map(({ comm, recall, heat }) => ({
      names: comm.map(globSource),
      recall,
      counts: heat === "count" && recall === "allow",
    })),
  };
}

export function engineSettings(values: SettingValues): EngineSettings {
  return {
    ...DEFAULT_ENGINE_SETTINGS,
    uploadAfterMs: values["upload.after"]!,
    uploadDeadlineMs: values["upload.deadline"]!,
    uploadParallel: values["upload.parallel"]!,
    recallParallel: values["recall.parallel"]!,
  };
}
