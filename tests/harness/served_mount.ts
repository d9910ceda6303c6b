/**
 * A real mount for tests: `fuse_server.ts` in a process of its own, at a temporary directory. The test
 * touches the mount through `sh` only, that is from yet another process, and with a time limit, so
 * that a mount that hangs fails the test and not the machine. Disposing leaves nothing behind: no
 * mount, no process, no directory.
 */
import { abortConnection } from "../../src/fuse/watchdog.ts";

const SERVER = new URL("./fuse_server.ts", import.meta.url).pathname;
const START_TIMEOUT_MS = 20_000;
const NOBODY = 65534;

export interface ShellResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface ServeOptions {
  /** Arguments for the server behind the directory. */
  readonly flags?: string[];
  /** Serve, and run every script, as user `nobody`. Needs root. */
  readonly asNobody?: boolean;
}

/** Why a real mount cannot be tried here; undefined where it can. */
export function mountObstacle(): string | undefined {
  if (Deno.uid() !== 0) return "not root";
  try {
    Deno.openSync("/dev/fuse", { read: true, write: true }).close();
    return undefined;
  } catch (error) {
    return `/dev/fuse: ${(error as Error).message}`;
  }
}

/** Why fusermount3 cannot be tried here; undefined where it can. */
export function helperObstacle(): string | undefined {
  for (const program of ["fusermount3", "setpriv"]) {
    const found = new Deno.Command("sh", {
      args: ["-c", `command -v ${program}`],
      stdout: "null",
    }).outputSync();
    if (!found.success) return `no ${program} here`;
  }
  return undefined;
}

/** Lets everybody open /dev/fuse, as ordinary distributions do, until disposed. */
export function openDevice(): Disposable {
  const before = Deno.statSync("/dev/fuse").mode! & 0o777;
  Deno.chmodSync("/dev/fuse", 0o666);
  return { [Symbol.dispose]: () => Deno.chmodSync("/dev/fuse", before) };
}

function command(options: ServeOptions, args: string[]): { program: string; args: string[] } {
  if (!options.asNobody) return { program: args[0], args: args.slice(1) };
  const drop = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--"];
  return { program: "setpriv", args: [...drop, ...args] };
}

export class ServedMount implements AsyncDisposable {
  #output = "";
  readonly #ended: Promise<void>;

  private constructor(
    readonly directory: string,
    private readonly base: string,
    private readonly options: ServeOptions,
    private readonly server: Deno.ChildProcess,
  ) {
    this.#ended = this.#collect();
  }

  /** Resolves once the mount works. */
  static async serve(options: ServeOptions = {}): Promise<ServedMount> {
    const base = Deno.makeTempDirSync({ prefix: "zero-mount-" });
    const directory = `${base}/mnt`;
    Deno.mkdirSync(directory);
    if (options.asNobody) {
      for (const path of [base, directory]) Deno.chownSync(path, NOBODY, NOBODY);
    }
    const deno = [Deno.execPath(), "run", "-A", "--no-config", "--no-lock", "--cached-only"];
    const { program, args } = command(options, [
      ...deno,
      SERVER,
      directory,
      ...options.flags ?? [],
    ]);
    const server = new Deno.Command(program, {
      args,
      env: { DENO_DIR: `${base}/deno`, HOME: base },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const mount = new ServedMount(directory, base, options, server);
    try {
      await mount.#line(/^ready (\d+)$/m);
    } catch (error) {
      await mount[Symbol.asyncDispose]();
      throw error;
    }
    return mount;
  }

  /** Number of the kernel's connection. */
  get connection(): number {
    return Number(/^ready (\d+)$/m.exec(this.#output)![1]);
  }

  /** What the server has said so far; all of it, once `unmount` has resolved. */
  get log(): string {
    return this.#output;
  }

  get serverPid(): number {
    return this.server.pid;
  }

  /** Runs a shell script with the mount as its working directory. Killed after `timeoutMs`. */
  async sh(script: string, timeoutMs = 60_000): Promise<ShellResult> {
    const { program, args } = command(this.options, [
      "timeout",
      "--signal=KILL",
      String(timeoutMs / 1000),
      "sh",
      "-euc",
      `cd '${this.directory}'; ${script}`,
    ]);
    const output = await new Deno.Command(program, { args, env: { LC_ALL: "C.UTF-8" } }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
  }

  /** Unmounts, and resolves with what the server said at its end. */
  async unmount(): Promise<string> {
    const program = this.options.asNobody ? ["fusermount3", "-u"] : ["umount"];
    const { program: file, args } = command(this.options, [...program, this.directory]);
    const { success, stderr } = await new Deno.Command(file, { args }).output();
    if (!success) throw new Error(`cannot unmount: ${new TextDecoder().decode(stderr)}`);
    return (await this.#line(/^end .*$/m))[0];
  }

  /** Kills the server as kill -9 does; the mount stays, dead. */
  async kill(): Promise<void> {
    this.server.kill("SIGKILL");
    await this.server.status;
  }

  /** Resolves when the server's output matches. */
  async said(pattern: RegExp): Promise<void> {
    await this.#line(pattern);
  }

  /** What the server says when the kernel has let go, without unmounting here. */
  async end(): Promise<string> {
    return (await this.#line(/^end .*$/m))[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Deno.Command("umount", { args: ["-l", this.directory], stderr: "null" }).output();
    await this.server.stdin.close().catch(() => {}); // The server may be gone, which is what we want.
    const killer = setTimeout(() => {
      if (/^ready/m.test(this.#output)) abortConnection(this.connection);
      this.server.kill("SIGKILL");
    }, 5000);
    await this.server.status;
    clearTimeout(killer);
    await this.#ended;
    Deno.removeSync(this.base, { recursive: true });
  }

  async #collect(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.server.stdout) {
      this.#output += decoder.decode(bytes, { stream: true });
      this.#wake();
    }
    this.#wake();
  }

  #wake = () => {};

  /** Waits until the server's output matches; rejects when it ends first, or takes too long. */
  async #line(pattern: RegExp): Promise<RegExpExecArray> {
    let over = false;
    const late = setTimeout(() => {
      over = true;
      this.#wake();
    }, START_TIMEOUT_MS);
    this.#ended.then(() => over = true);
    try {
      for (;;) {
        const found = pattern.exec(this.#output);
        if (found !== null) return found;
        if (over) throw new Error(`no ${pattern} in the server's output: '${this.#output}'`);
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
    } finally {
      clearTimeout(late);
    }
  }
}
