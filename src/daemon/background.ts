/**
 * Starting the daemon behind the command that was typed. The parent starts its own program again, in a
 * session of its own, with an environment cut to the necessary; settings and secrets travel over the
 * child's standard input, never through argv or the environment. The child reports "ready" or an error
 * on its standard output; the parent prints that and ends.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { LIMITS } from "./limits.ts";
import type { MountRequest } from "./mount_request.ts";

/** The hidden argument that makes this program the daemon. */
export const DAEMON_FLAG = "--daemon-child";

/** Buffers from this size on are given back to the system as soon as they are freed. */
const LARGE_BUFFER_BYTES = 1 << 20;
/**
 * Heaps of the C library that threads share. It would make one for each of some twenty threads, and each
 * keeps what is freed in it (measured: 306 MiB at most for 10,000 small files up and down, 281 with it).
 */
const MALLOC_ARENAS = 2;
/**
 * V8 lets the heaps of seven isolates grow a good deal before it sweeps them: with these the daemon takes
 * a quarter less memory after uploading and recalling small files (measured: 340 and 258 MiB), and no
 * more time.
 */
const HEAP_FLAGS = "--v8-flags=--max-semi-space-size=2,--heap-growing-percent=30";
/** What the daemon may inherit. Credentials are not among it. */
const INHERITED = [
  "HOME",
  "PATH",
  "USER",
  "LOGNAME",
  "LANG",
  "LC_ALL",
  "LC_CTYPE",
  "TZ",
  "TMPDIR",
  "XDG_CACHE_HOME",
  "XDG_CONFIG_HOME",
  "XDG_DATA_HOME",
  "XDG_RUNTIME_DIR",
  "XDG_STATE_HOME",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
  "DENO_CERT",
  "DENO_TLS_CA_STORE",
  "DENO_DIR",
  "DENO_NO_UPDATE_CHECK",
  "NO_COLOR",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
];

/** What the child says on its standard output, one line. */
export type StartReport =
  | { ready: { pid: number; notes: string[] } }
  | { error: { message: string; hint: string | undefined; exitCode: number } };

/** The command that runs this very program as the daemon: from source, as a bundle, or as an executable. */
export function ownCommand(): { command: string; args: string[] } {
  const command = Deno.execPath();
  if (Deno.build.standalone) return { command, args: [] };
  const flags = Deno.mainModule.endsWith(".ts")
    ? []
    : ["--quiet", "--no-config", "--no-lock", "--cached-only"];
  return { command, args: ["run", "-A", ...flags, HEAP_FLAGS, Deno.mainModule] };
}

/** Starts the daemon and waits until it serves. Throws UserError with what it reported. */
export async function startInBackground(
  request: MountRequest,
): Promise<{ pid: number; notes: string[] }> {
  const { command, args } = ownCommand();
  const env: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  // Without this the C library keeps the memory of chunks and packs for itself once some were freed
  // (measured: 410 MiB after an upload of 512 MiB, 180 with it).
  env.MALLOC_MMAP_THRESHOLD_ = `${LARGE_BUFFER_BYTES}`;
  env.MALLOC_ARENA_MAX = `${MALLOC_ARENAS}`;
  const child = new Deno.Command(command, {
    args: [...args, DAEMON_FLAG],
    clearEnv: true,
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMITS.START_MS);
  try {
    const writer = child.stdin.getWriter();
    const bytes = encodeMountRequest(request);
    await writer.write(bytes);
    bytes.fill(0);
    await writer.close();
    const line = await firstLine(child.stdout);
    // A child that reports nothing has ended, or is about to: what it complained of is the reason.
    const complaint = line === undefined ? await new Response(child.stderr).text() : "";
    if (line !== undefined) await child.stderr.cancel();
    return readReport(line, complaint);
  } finally {
    clearTimeout(timer);
    child.unref();
  }
}

/** The first line, or undefined where the stream ends without one. Lets go of the stream. */
async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  return undefined;
}

function readReport(
  line: string | undefined,
  complaint: string,
): { pid: number; notes: string[] } {
  if (line === undefined) {
    const last = complaint.trim().split("\n").at(-1) ?? "";
    throw new UserError(`the daemon ended before it was ready${last === "" ? "" : `: ${last}`}`, {
      hint: "run the same command with --foreground to see more",
    });
  }
  const report = JSON.parse(line) as StartReport;
  if ("ready" in report) return report.ready;
  const { message, hint, exitCode } = report.error;
  throw new UserError(message, { hint, exitCode });
}

/** In the child: the request, from standard input to its end. */
export async function readMountRequest(): Promise<MountRequest> {
  const bytes = await new Response(Deno.stdin.readable).bytes();
  if (bytes.length === 0) {
    throw new UserError(`${DAEMON_FLAG} is for zero's own use`, {
      hint: "zero mount MOUNTPOINT",
      exitCode: ExitCode.usage,
    });
  }
  return decodeMountRequest(bytes);
}

/** One line of JSON, and behind it the bytes that open an encrypted file system, which are never text. */
export function encodeMountRequest(request: MountRequest): Uint8Array<ArrayBuffer> {
  const { unlocking, ...rest } = request;
  const head = { ...rest, unlocking: unlocking && { kind: unlocking.kind } };
  const line = new TextEncoder().encode(`${JSON.stringify(head)}\n`);
  const bytes = new Uint8Array(line.length + (unlocking?.bytes.length ?? 0));
  bytes.set(line);
  if (unlocking !== undefined) {
    bytes.set(unlocking.bytes, line.length);
    unlocking.bytes.fill(0);
  }
  return bytes;
}

/** The reverse; wipes `bytes`. */
export function decodeMountRequest(bytes: Uint8Array): MountRequest {
  const end = bytes.indexOf(0x0a);
  const request = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as MountRequest;
  if (request.unlocking !== undefined) request.unlocking.bytes = bytes.slice(end + 1);
  bytes.fill(0);
  return request;
}

/** In the child: tells the parent how starting went. */
export function reportStart(report: StartReport): void {
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(report) + "\n"));
}
