/** `zero trash ls`, `zero trash purge`, `zero undelete`: files that were removed or overwritten. */
import { ExitCode, UserError } from "../../domain/errors.ts";
import { parseName, printName } from "../../domain/name_text.ts";
import { formatBytes, formatDuration, parseDuration } from "../../domain/units.ts";
import type { PurgeResult, TrashEntry } from "../../daemon/care_requests.ts";
import { absoluteBytes, type ZeroMount } from "../../daemon/find_mount.ts";
import { type CommandContext, targetOf, targetOrOnlyMount } from "../context.ts";
import { callDaemon, wirePath } from "../control_client.ts";
import { count } from "../progress.ts";

export async function trashListCommand(
  context: CommandContext,
  path: string | undefined,
  options: { json?: boolean },
): Promise<number> {
  const { mount, names } = targetOrOnlyMount(context, path);
  const entries = await callDaemon<TrashEntry[]>(mount, {
    command: "trash",
    path: wirePath(names),
  });
  if (options.json) {
    context.print(JSON.stringify(entries, null, 2));
    return ExitCode.ok;
  }
  if (entries.length === 0) context.print("the trash is empty");
  for (const entry of entries) {
    const age = formatDuration(Math.max(0, Date.now() - entry.trashedMs));
    context.print(
      `${String(entry.version).padStart(8)}  ${age.padStart(8)} ago  ${
        formatBytes(entry.size).padStart(10)
      }  ${entry.path ?? "(its name is not known any more)"}`,
    );
  }
  return ExitCode.ok;
}

export async function trashPurgeCommand(
  context: CommandContext,
  path: string | undefined,
  options: { olderThan: string; apply?: boolean; json?: boolean },
): Promise<number> {
  const { mount } = targetOrOnlyMount(context, path);
  const result = await callDaemon<PurgeResult>(mount, {
    command: "purge",
    olderThanMs: parseDuration(options.olderThan),
    apply: options.apply === true,
  });
  const what = `${count(result.versions)}, ${formatBytes(result.bytes)}`;
  context.print(
    options.json
      ? JSON.stringify(result)
      : result.applied
      ? `${what} left the trash; the bucket follows with zero gc, after the grace`
      : `${what} would leave the trash for good: zero trash purge --apply`,
  );
  return ExitCode.ok;
}

export async function undeleteCommand(
  context: CommandContext,
  place: string,
  options: { to?: string; json?: boolean },
): Promise<number> {
  const { mount, entry } = await find(context, place);
  const target = options.to === undefined
    ? defaultTarget(mount, entry)
    : decode(absoluteBytes(context.raw.path(options.to)));
  make(target);
  try {
    const { names } = targetOf(context, target);
    const result = await callDaemon<{ path: string; chunks: number }>(mount, {
      command: "undelete",
      version: entry.version,
      path: wirePath(names),
    });
    // The kernel believes the file to be empty until an answer about its attributes passes by.
    Deno.chmodSync(target, entry.mode & 0o7777);
    context.print(
      options.json
        ? JSON.stringify({ ...result, version: entry.version, size: entry.size })
        : `${target} is back, ${formatBytes(entry.size)}, evicted`,
    );
    return ExitCode.ok;
  } catch (error) {
    Deno.removeSync(target);
    throw error;
  }
}

/** By its number, or the newest that had this path. */
async function find(
  context: CommandContext,
  place: string,
): Promise<{ mount: ZeroMount; entry: TrashEntry }> {
  if (/^\d+$/.test(place)) {
    const { mount } = targetOrOnlyMount(context, undefined);
    const all = await callDaemon<TrashEntry[]>(mount, { command: "trash" });
    const entry = all.find(({ version }) => version === Number(place));
    if (entry !== undefined) return { mount, entry };
    throw notThere(`there is no version ${place} in the trash`);
  }
  const { mount, names } = targetOf(context, place);
  const path = wirePath(names);
  const below = await callDaemon<TrashEntry[]>(mount, { command: "trash", path });
  const entry = below.filter((each) => each.names?.length === path.length)
    .sort((a, b) => b.trashedMs - a.trashedMs || b.version - a.version)[0];
  if (entry !== undefined) return { mount, entry };
  throw notThere(`nothing of ${place} is in the trash`);
}

function notThere(message: string): UserError {
  return new UserError(message, {
    hint: "zero trash ls shows what is; what was never uploaded cannot come back",
  });
}

function defaultTarget(mount: ZeroMount, entry: TrashEntry): string {
  if (entry.path === undefined) {
    throw new UserError(`the name of version ${entry.version} is not known any more`, {
      hint: "--to PATH",
      exitCode: ExitCode.usage,
    });
  }
  return `${decode(mount.mountpoint)}${decode(parseName(entry.path))}`;
}

function decode(path: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(path);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UserError(`${printName(path)} is not valid UTF-8`, {
      hint: "--to PATH, with a name in UTF-8",
      exitCode: ExitCode.usage,
    });
  }
}

/** Through the kernel, so that it knows the name from the start. */
function make(path: string): void {
  try {
    Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      throw new UserError(`${path} exists`, { hint: "--to PATH, with a name that is free" });
    }
    if (error instanceof Deno.errors.NotFound) {
      throw new UserError(`the directory of ${path} does not exist`, {
        hint: "make it first, or give --to PATH",
      });
    }
    throw new UserError(`${path} cannot be made: ${(error as Error).message}`, { cause: error });
  }
}
