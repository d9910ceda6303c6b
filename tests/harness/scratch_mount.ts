/**
 * A mount of the built program in scratch directories: cache, store and mount point, all below one
 * temporary directory that goes away whatever happens. The mount is touched by child processes only.
 *
 *     await using mount = await ScratchMount.create();
 *     await mount.sh("echo hello > file && cat file");
 */
import { until } from "./until.ts";
import { requireCode, run, type RunOptions, type RunResult, runZero } from "./zero_process.ts";

export interface ScratchOptions {
  /** Directory for everything; by default the system's temporary directory. */
  parent?: string;
  /** Directory for the cache alone, such as a small loop device. */
  cacheParent?: string;
  /** More arguments of `zero mount`. */
  mountArguments?: string[];
  /** More environment of `zero`. */
  env?: Record<string, string>;
  /** Store URL instead of a scratch directory. */
  store?: string;
  /** Does not mount yet. */
  unmounted?: boolean;
}

const CLEANUP_TIMEOUT_MS = 20_000;
/**
 * A daemon that is told to end does so within ten seconds, on a machine that has time for it; a killed one
 * when its last sync is over, however slow the disk is.
 */
const GONE_MS = 60_000;

export class ScratchMount {
  readonly mountpoint: string;
  readonly cache: string;
  /** The folder that plays the bucket (unless a URL was given). */
  readonly storeDirectory: string;
  readonly store: string;
  readonly #options: ScratchOptions;
  /** Of the last mount: it is known even when the cache's disk cannot be read any more. */
  #lastPid: number | undefined;

  private constructor(readonly directory: string, options: ScratchOptions) {
    this.#options = options;
    this.mountpoint = `${directory}/mnt`;
    this.cache = `${options.cacheParent ?? directory}/cache`;
    this.storeDirectory = `${directory}/store`;
    this.store = options.store ?? `file://${this.storeDirectory}`;
  }

  static async create(options: ScratchOptions = {}): Promise<ScratchMount> {
    const directory = await Deno.makeTempDir({ prefix: "zero-scratch-", dir: options.parent });
    const scratch = new ScratchMount(directory, options);
    try {
      await Deno.mkdir(scratch.mountpoint);
      if (!options.unmounted) await scratch.mount();
      return scratch;
    } catch (error) {
      await scratch[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs `zero` with arguments, as the user whose home is the scratch directory. */
  zero(args: string[], options: RunOptions = {}): Promise<RunResult> {
    const env = { ...this.#options.env, ...options.env };
    return runZero(args, { ...options, env, home: this.directory });
  }

  /** Runs `zero` and insists on its exit code. */
  async zeroOk(args: string[], options: RunOptions & { code?: number } = {}): Promise<RunResult> {
    const result = await this.zero(args, options);
    // Why something takes too long, the daemon itself knows best.
    const state = result.late ? await this.describe() : await this.logTail();
    return requireCode(result, options.code ?? 0, `zero ${args.join(" ")}${state}`);
  }

  /** `zero ARGS --json`, parsed. */
  async json<T>(args: string[], options: RunOptions & { code?: number } = {}): Promise<T> {
    return JSON.parse((await this.zeroOk([...args, "--json"], options)).stdout) as T;
  }

  /** Mounts, and waits until the mount answers another process. */
  async mount(...more: string[]): Promise<RunResult> {
    const result = await this.zeroOk([
      "mount",
      "--store",
      this.store,
      "--cache",
      this.cache,
      ...this.#options.mountArguments ?? [],
      ...more,
      this.mountpoint,
    ]);
    this.#lastPid = this.daemonPid();
    await this.sh("stat -f . >/dev/null");
    return result;
  }

  /** Unmounts, and waits until the daemon has left, too: it writes to the cache until its end. */
  async unmount(...more: string[]): Promise<RunResult> {
    const pid = this.daemonPid();
    const result = await this.zeroOk(["unmount", ...more, this.mountpoint]);
    if (pid !== undefined) await processGone(pid);
    return result;
  }

  /** Runs a shell script in the mount; fails unless it ends with `code` (0). Returns its output. */
  async sh(
    script: string,
    options: RunOptions & { code?: number } = {},
    args: string[] = [],
  ): Promise<string> {
    const result = await this.trySh(script, options, args);
    requireCode(result, options.code ?? 0, `in the mount: ${script}${await this.logTail()}`);
    return result.stdout;
  }

  /** The same without insisting on anything. */
  trySh(script: string, options: RunOptions = {}, args: string[] = []): Promise<RunResult> {
    // The shell enters the mount itself: this process never touches it, not even to start a child there.
    return run("sh", ["-c", `cd "$0" && ${script}`, this.mountpoint, ...args], options);
  }

  /** The daemon's process id, from the lock file; undefined while nobody serves the cache. */
  daemonPid(): number | undefined {
    let text: string | undefined;
    try {
      text = readIfThere(`${this.cache}/lock`);
    } catch {
      // The cache's disk is broken, which is what the test is about.
      return this.#lastPid;
    }
    const pid = Number(text?.split("\n")[0]);
    return Number.isInteger(pid) && pid > 1 ? pid : undefined;
  }

  /** Kills the daemon as a crash would, and waits until it is gone. */
  async killDaemon(): Promise<void> {
    const pid = this.daemonPid();
    if (pid === undefined) throw new Error("no daemon serves this cache");
    Deno.kill(pid, "SIGKILL");
    await processGone(pid);
  }

  /** The end of the daemon's log, for messages. */
  async logTail(): Promise<string> {
    let text: string | undefined;
    try {
      text = await Promise.resolve(readIfThere(`${this.cache}/zero.log`));
    } catch (error) {
      return `\nzero.log cannot be read: ${error}`;
    }
    return text === undefined ? "" : `\nzero.log: ${text.trim().split("\n").slice(-20).join("\n")}`;
  }

  /** What the daemon says of itself just now and has written to its log, for messages. */
  async describe(): Promise<string> {
    const status = await this.zero(["status", this.mountpoint, "--json"], { timeoutMs: 10_000 });
    return `\nstatus: ${status.late ? "no answer" : status.stdout}${status.stderr}${await this
      .logTail()}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // One that has given its lock back may not have left yet.
    const pid = this.daemonPid() ?? this.#lastPid;
    // Others than our own, too: a test may have seen a mount succeed that should have been refused.
    for (const mountpoint of zeroMountsBelow(this.directory)) {
      await this.zero(["unmount", "--no-flush", mountpoint], { timeoutMs: CLEANUP_TIMEOUT_MS });
      const entry = isMounted(mountpoint);
      if (entry === undefined) continue;
      await run("sh", [
        "-c",
        "mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections; " +
        'echo 1 > "/sys/fs/fuse/connections/$1/abort"; umount -l "$0"',
        mountpoint,
        entry.connection,
      ], { timeoutMs: CLEANUP_TIMEOUT_MS });
    }
    if (pid !== undefined && isOurDaemon(pid)) {
      Deno.kill(pid, "SIGKILL");
      await processGone(pid);
    }
    // On a disk of its own it goes with the disk, which may be broken by now.
    await Deno.remove(this.cache, { recursive: true }).catch(
      this.#options.cacheParent === undefined ? ignoreMissing : () => {},
    );
    await Deno.remove(this.directory, { recursive: true });
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

function readIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** No such file; or, below /proc, no such process any more, though it was there when the file was opened. */
function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound ||
    (error instanceof Error && /No such process/.test(error.message));
}

/** The connection number of a mount, from the mount table; the mount itself is not touched. */
export function isMounted(mountpoint: string): { connection: string } | undefined {
  for (const line of Deno.readTextFileSync("/proc/self/mountinfo").split("\n")) {
    const fields = line.split(" ");
    if (fields[4] === mountpoint) return { connection: fields[2].split(":")[1] };
  }
  return undefined;
}

function zeroMountsBelow(directory: string): string[] {
  return Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .filter((line) => line.includes(" - fuse.zero "))
    .map((line) => line.split(" ")[4]).filter((place) => place.startsWith(`${directory}/`));
}

function isOurDaemon(pid: number): boolean {
  return readIfThere(`/proc/${pid}/cmdline`)?.includes("--daemon-child") ?? false;
}

/** Whether all threads of a process that are left are in one of these states (proc(5)). */
function threadsAre(pid: number, states: string): boolean {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/task`)].every(({ name }) => {
      const status = readIfThere(`/proc/${pid}/task/${name}/stat`);
      return status === undefined || states.includes(status[status.lastIndexOf(")") + 2]);
    });
  } catch (error) {
    if (isGone(error)) return true;
    throw error;
  }
}

/** Stops a process, and waits until each of its threads has come to rest. */
export async function stopProcess(pid: number): Promise<void> {
  Deno.kill(pid, "SIGSTOP");
  await until(`process ${pid} stands still`, () => threadsAre(pid, "TZX"));
}

/**
 * Waits until a process has ended, with all its threads: one that waits for a slow disk outlives the others
 * of a killed process, and holds what that had open, its lock among it. (Zombies of others count as ended.)
 */
export async function processGone(pid: number): Promise<void> {
  await until(`process ${pid} has ended`, () => threadsAre(pid, "ZX"), { timeoutMs: GONE_MS });
}

/** A small disk of its own: an ext4 image on a loop device, mounted below a temporary directory. */
export class LoopDisk {
  private constructor(readonly directory: string, readonly mountpoint: string) {}

  static async create(options: { mebibytes: number }): Promise<LoopDisk> {
    const directory = await Deno.makeTempDir({ prefix: "zero-disk-" });
    const disk = new LoopDisk(directory, `${directory}/disk`);
    const script = 'truncate -s "$1M" image && mkfs.ext4 -q -m 0 -F image && mkdir disk && ' +
      "mount -o loop image disk && rmdir disk/lost+found";
    const result = await run("sh", [
      "-c",
      `cd "$0" && ${script}`,
      directory,
      `${options.mebibytes}`,
    ]);
    if (result.code !== 0) {
      await disk[Symbol.asyncDispose]();
      throw new Error(`no loop disk could be made: ${result.stderr}`);
    }
    return disk;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Unmounting also frees the loop device, which mount(8) made to clear itself.
    if (isMounted(this.mountpoint)) await run("umount", ["-l", this.mountpoint]);
    await Deno.remove(this.directory, { recursive: true });
  }
}
