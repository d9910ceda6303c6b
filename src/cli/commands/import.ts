/** `zero import`: takes a directory into a mount, at the pace at which the mount can make room. */
import { resolve } from "node:path";
import { ExitCode, UserError } from "../../domain/errors.ts";
import { formatBytes } from "../../domain/units.ts";
import type { StatusReport } from "../../daemon/control_protocol.ts";
import type { ZeroMount } from "../../daemon/find_mount.ts";
import type { ImportReport } from "../../daemon/import_tree.ts";
import { type CommandContext, targetOrOnlyMount, withProgress } from "../context.ts";
import { callDaemon } from "../control_client.ts";
import { count, type Progress } from "../progress.ts";
import { requireText } from "../raw_arguments.ts";

/** Between two looks at the room there is, while there is enough and while there is not. */
const LOOK_MS = 1_000;
/** A mount that is full and from which nothing leaves for so long will not be waited for. */
const PATIENCE_MS = 5 * 60_000;

export async function importCommand(
  context: CommandContext,
  request: {
    directory: string;
    destination: string | undefined;
    options: { force?: boolean; json?: boolean };
  },
): Promise<number> {
  const { options } = request;
  const { mount, names } = targetOrOnlyMount(context, request.destination);
  const { importTree } = await import("../../daemon/import_tree.ts");
  const { isWithin } = await import("../../daemon/user_directories.ts");
  const from = realDirectory(requireText(request.directory));
  const text = (name: Uint8Array) => requireText(new TextDecoder().decode(name));
  const mountpoint = text(mount.mountpoint);
  const to = [mountpoint, ...names.map(text)].join("/");
  if (isWithin(from, mountpoint) || isWithin(mountpoint, from)) {
    throw new UserError(`${from} and the mount ${mountpoint} contain each other`, {
      hint: "within a mount, use cp -a or mv",
      exitCode: ExitCode.refused,
    });
  }
  const stop = new AbortController();
  const onSignal = () =>
    stop.abort(
      new UserError("stopped by a signal", {
        hint: "what was copied stays; the same command goes on from there",
      }),
    );
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  try {
    const report = await withProgress(options, (progress) =>
      importTree({
        from,
        to,
        force: options.force === true,
        signal: stop.signal,
        pace: pacer(mount, { progress, signal: stop.signal }),
        progress: (text) => progress.show(text),
      }));
    if (options.json) context.print(JSON.stringify(report));
    else for (const line of render(report)) context.print(line);
    return report.problemCount === 0 ? ExitCode.ok : ExitCode.failure;
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
  }
}

function realDirectory(path: string): string {
  try {
    const real = Deno.realPathSync(resolve(path));
    if (Deno.statSync(real).isDirectory) return real;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  throw new UserError(`${path} is not a directory`, { exitCode: ExitCode.usage });
}

/**
 * Waits while the mount is above its high mark and uploads can bring it down; after a write that found
 * no space, until there is some. Looks at most once a second.
 */
function pacer(
  mount: ZeroMount,
  { progress, signal }: { progress: Progress; signal: AbortSignal },
): (options: { full: boolean }) => Promise<void> {
  let lookedMs = -Infinity;
  return async ({ full }) => {
    // Lets a signal be heard.
    await new Promise((resolve) => setTimeout(resolve));
    if (!full && performance.now() < lookedMs + LOOK_MS) return;
    let seen = "";
    let changedMs = performance.now();
    for (;;) {
      signal.throwIfAborted();
      const { filesystem, unsafe, lastStoreError } = await callDaemon<StatusReport>(mount, {
        command: "status",
      });
      lookedMs = performance.now();
      const { used, high } = filesystem.space;
      if (used < high || (!full && unsafe.files === 0)) return;
      if (seen !== `${used} ${unsafe.bytes}`) changedMs = lookedMs;
      seen = `${used} ${unsafe.bytes}`;
      if (lookedMs - changedMs > PATIENCE_MS) {
        if (!full) return;
        throw new UserError("the mount is full, and nothing leaves it", {
          hint: lastStoreError?.message ?? "zero policy check says what stands in the way",
        });
      }
      progress.show(`waiting for uploads: ${formatBytes(unsafe.bytes)} are not in the bucket yet`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  };
}

function render(report: ImportReport): string[] {
  const { files, unchanged, bytes, problems, problemCount } = report;
  const there = unchanged === 0 ? "" : `; ${count(unchanged)} were there already`;
  const lines = [`imported ${count(files)}, ${formatBytes(bytes)}, to ${report.to}${there}`];
  if (problemCount > 0) lines.push(`${problemCount} were left out, or are not quite as they were:`);
  for (const { path, reason } of problems) lines.push(`  ${path}: ${reason}`);
  if (problemCount > problems.length) lines.push(`  and ${problemCount - problems.length} more`);
  return lines;
}
