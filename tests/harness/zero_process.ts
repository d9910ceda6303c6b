/**
 * Runs the built program, and shell commands beside it, always in other processes, always with a
 * timeout. The program is dist/zero, or what ZERO_TEST_EXECUTABLE names. Ends only what it started.
 */
const root = new URL("../..", import.meta.url).pathname;

/** Path of the program under test. */
export const zeroExecutable = Deno.env.get("ZERO_TEST_EXECUTABLE") ?? `${root}dist/zero`;

/** Where the self-extracting executable unpacks itself; shared, so that it does so once. */
const unpackedDirectory = `${root}dist/.unpacked`;

export interface RunResult {
  code: number;
  stdout: string;
  stderr: string;
  /** It did not end in time and was killed. */
  late: boolean;
}

export interface RunOptions {
  timeoutMs?: number;
  env?: Record<string, string>;
  /** Nothing of this process's own environment goes to the child. */
  clearEnv?: boolean;
  cwd?: string;
  stdin?: string;
}

/** For what hangs; a busy machine needs most of a minute for much of what takes a second. */
export const DEFAULT_TIMEOUT_MS = 180_000;

/** Runs a command in a process group of its own and kills the group when it is late. */
export async function run(
  command: string,
  args: string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = new Deno.Command(command, {
    args,
    env: options.env,
    clearEnv: options.clearEnv,
    cwd: options.cwd,
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    Deno.kill(-child.pid, "SIGKILL");
  }, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  try {
    if (options.stdin !== undefined) {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(options.stdin));
      await writer.close();
    }
    const output = await child.output();
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return {
      code: output.code,
      stdout: decode(output.stdout),
      stderr: decode(output.stderr),
      late,
    };
  } finally {
    clearTimeout(timer);
  }
}

/** The environment that the program under test sees: nothing of the tester's own settings. */
export function zeroEnvironment(home: string): Record<string, string> {
  const inherited: Record<string, string> = {};
  for (const name of ["PATH", "LANG", "TMPDIR"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) inherited[name] = value;
  }
  return { ...inherited, HOME: home, XDG_CACHE_HOME: unpackedDirectory };
}

/** Runs the program with arguments. `home`: a scratch directory that plays the user's. */
export function runZero(
  args: string[],
  options: RunOptions & { home: string },
): Promise<RunResult> {
  const env = { ...zeroEnvironment(options.home), ...options.env };
  return run(zeroExecutable, args, { ...options, env, clearEnv: true });
}

/** Fails with everything that is known about a command that did not do what it should. */
export function requireCode(result: RunResult, code: number, what: string): RunResult {
  if (result.code === code && !result.late) return result;
  throw new Error(
    `${what}: exit code ${result.code}${
      result.late ? " (killed, too late)" : ""
    }, wanted ${code}\n` +
      `stdout: ${result.stdout}\nstderr: ${result.stderr}`,
  );
}
