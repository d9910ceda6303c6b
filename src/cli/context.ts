/** What every command is given, and what many of them do first. */
import { UserError } from "../domain/errors.ts";
import { printName } from "../domain/name_text.ts";
import { findMount, type ZeroMount, zeroMounts } from "../daemon/find_mount.ts";
import { Progress } from "./progress.ts";
import type { RawArguments } from "./raw_arguments.ts";

export interface CommandContext {
  raw: RawArguments;
  /** One line on standard output. */
  print: (text: string) => void;
}

/** A mount and a place on it. */
export interface Target {
  mount: ZeroMount;
  names: Uint8Array[];
}

/** Where a path argument points. */
export function targetOf(context: CommandContext, path: string): Target {
  return findMount(context.raw.path(path));
}

/** The target of an optional path: without one, the only mount there is. */
export function targetOrOnlyMount(context: CommandContext, path: string | undefined): Target {
  if (path !== undefined) return targetOf(context, path);
  const mounts = zeroMounts();
  if (mounts.length === 1) return { mount: mounts[0], names: [] };
  if (mounts.length === 0) {
    throw new UserError("no file system of Zero is mounted", { hint: "zero mount MOUNTPOINT" });
  }
  throw new UserError("more than one file system of Zero is mounted", {
    hint: `name one: ${mounts.map((mount) => printName(mount.mountpoint)).join(", ")}`,
  });
}

/** Targets grouped by their mount, in the order given. */
export function targetsByMount(
  context: CommandContext,
  paths: string[],
): { mount: ZeroMount; paths: Uint8Array[][] }[] {
  const groups: { mount: ZeroMount; paths: Uint8Array[][] }[] = [];
  for (const path of paths) {
    const { mount, names } = targetOf(context, path);
    const group = groups.find((each) => each.mount.cache === mount.cache);
    if (group === undefined) groups.push({ mount, paths: [names] });
    else group.paths.push(names);
  }
  return groups;
}

/** Runs `action` with progress that is taken away afterwards, whatever happens. */
export async function withProgress<T>(
  options: { json?: boolean },
  action: (progress: Progress) => Promise<T>,
): Promise<T> {
  const progress = new Progress({ silent: options.json === true });
  try {
    return await action(progress);
  } finally {
    progress.done();
  }
}
