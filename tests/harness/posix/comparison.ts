/**
 * A mount of the built program beside an ordinary directory of this machine's disk, and the same
 * steps taken in both. Owns both and clears them away. Never touches the mount from this process.
 *
 *     await using comparison = await PosixComparison.create();
 *     await comparison.expectSame(steps);
 */
import { ExitCode } from "../../../src/domain/errors.ts";
import { isMounted, ScratchMount } from "../scratch_mount.ts";
import { requireCode, run, zeroEnvironment } from "../zero_process.ts";
import { PREPARING_STEPS, type Step } from "./generator.ts";

/** The distribution's own: other users must be able to run it. */
const PYTHON = "/usr/bin/python3";
const EXECUTOR = new URL("executor.py", import.meta.url).pathname;
/** For a sequence, and for each of its steps: even remounts, one in hundreds, take no longer on average. */
const SEQUENCE_TIMEOUT_MS = 300_000;
const STEP_TIMEOUT_MS = 100;
/** Shortening goes on for so long, or for so many times what the sequence took. */
const SHRINK_TIMEOUT_MS = 60_000;
const SHRINK_RUNS = 10;
/** How many of the last steps are tried alone at first, after those that make the directories. */
const TAIL_STEPS = 64;
/** Small, so that few bytes cross many borders. */
export const SMALL_CHUNK_BYTES = 16 * 1024;

/** Where two file systems first differ. */
export interface Difference {
  step: number;
  differs: unknown;
}

export interface ComparisonOptions {
  chunkSize?: number;
  mountArguments?: string[];
}

export class PosixComparison {
  /** A directory of the local disk, mounted as Zero mounts: nosuid, nodev, relatime. */
  readonly reference: string;
  #sequences = 0;

  private constructor(readonly mount: ScratchMount) {
    this.reference = `${mount.directory}/reference`;
  }

  static async create(options: ComparisonOptions = {}): Promise<PosixComparison> {
    const mount = await ScratchMount.create({
      unmounted: true,
      mountArguments: options.mountArguments,
      // Uploads come in between, and an unmount need not wait for files to be quiet.
      env: { ZERO_UPLOAD_AFTER: "50ms" },
    });
    const comparison = new PosixComparison(mount);
    try {
      await comparison.#prepare(options.chunkSize ?? SMALL_CHUNK_BYTES);
      return comparison;
    } catch (error) {
      await comparison[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #prepare(chunkSize: number): Promise<void> {
    const { mount, reference } = this;
    await Deno.chmod(mount.directory, 0o755);
    await Deno.mkdir(reference);
    const bind = 'mount --bind "$0" "$0" && mount -o remount,bind,nosuid,nodev,relatime "$0"';
    requireCode(await run("sh", ["-c", bind, reference]), 0, "mounting the reference");
    await mount.zeroOk(["init", "--store", mount.store, "--cache", mount.cache]);
    await setChunkSize(mount, chunkSize);
    await mount.mount();
  }

  /** Runs the steps in fresh directories on both sides. `setpriv`: as another user altogether. */
  async run(steps: readonly Step[], options: { unprivileged?: boolean } = {}): Promise<
    Difference | undefined
  > {
    const name = `run-${++this.#sequences}`;
    const places = [`${this.reference}/${name}`, `${this.mount.mountpoint}/${name}`];
    const made = await run("mkdir", ["-m", "777", ...places], { timeoutMs: 20_000 });
    requireCode(made, 0, "making fresh directories");
    try {
      return await this.#execute(places, steps, options.unprivileged === true);
    } finally {
      await run("rm", ["-rf", ...places], { timeoutMs: 60_000 });
    }
  }

  async #execute(
    places: string[],
    steps: readonly Step[],
    unprivileged: boolean,
  ): Promise<Difference | undefined> {
    const python = [PYTHON, "-B", EXECUTOR, ...places, ...unprivileged ? ["--as-is"] : []];
    const command = unprivileged
      ? ["setpriv", "--reuid=61001", "--regid=61001", "--groups=61001,63001", ...python]
      : python;
    const child = new Deno.Command(command[0], {
      args: command.slice(1),
      env: zeroEnvironment("/"),
      clearEnv: true,
      cwd: "/",
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, SEQUENCE_TIMEOUT_MS + steps.length * STEP_TIMEOUT_MS);
    const complaints = new Response(child.stderr).text();
    const writer = child.stdin.getWriter();
    const say = (line: string) => writer.write(new TextEncoder().encode(line + "\n"));
    try {
      await say(JSON.stringify(steps));
      for await (const line of lines(child.stdout)) {
        const message = JSON.parse(line) as { zero?: string; difference?: Difference | null };
        if (message.zero !== undefined) {
          await say(await this.#zero(message.zero));
          continue;
        }
        return message.difference ?? undefined;
      }
    } finally {
      clearTimeout(timer);
      await writer.close().catch(() => {});
      await child.status;
    }
    const said = await complaints;
    throw new Error(
      `the executor ${late ? "was late" : "ended"}: ${said}${await this.mount.logTail()}`,
    );
  }

  /** What happens on Zero's side only. Returns "done", or what went wrong. */
  async #zero(what: string): Promise<string> {
    const { mount } = this;
    if (what === "remount") {
      const unmounted = await mount.zero(["unmount", mount.mountpoint]);
      // Every file is closed now, so all must be safe.
      if (unmounted.code !== 0) {
        return `exit code ${unmounted.code}: ${unmounted.stdout.trim()}` + await dirtyRows(mount);
      }
      await mount.mount();
      return "done";
    }
    const result = await mount.zero([what, mount.mountpoint]);
    // What is open for writing cannot be safe yet, and the command says so.
    const good = result.code === 0 || (what === "sync" && result.code === ExitCode.unsafe) ||
      (what === "evict" && /not in the bucket yet|open/.test(result.stdout));
    if (good && !result.late) return "done";
    return `exit code ${result.code}: ${result.stdout} ${result.stderr}`.replaceAll("\n", " ");
  }

  /** Fails with the shortest sequence found that still differs. `seed` is for the message. */
  async expectSame(
    steps: readonly Step[],
    options: { unprivileged?: boolean; seed?: number } = {},
  ): Promise<void> {
    const started = performance.now();
    const difference = await this.run(steps, options);
    if (difference === undefined) return;
    const shrinkMs = Math.max(SHRINK_TIMEOUT_MS, SHRINK_RUNS * (performance.now() - started));
    const upToThere = steps.slice(0, difference.step + 1);
    // What a step expects depends on the steps before it.
    const shrunk = steps.some((step) => "expect" in step)
      ? { steps: upToThere, difference }
      : await this.#shrink(upToThere, difference, { ...options, shrinkMs });
    const seed = options.seed === undefined ? "" : `seed ${options.seed}: `;
    throw new Error(
      `${seed}Zero differs from the local file system: ${JSON.stringify(shrunk.difference)}\n` +
        shrunk.steps.map((step) => `  ${JSON.stringify(step)}`).join("\n") +
        await this.mount.logTail(),
    );
  }

  /**
   * Begins with the last steps alone, if they still differ: most of a long sequence has nothing to do
   * with it. Then leaves out halves, quarters, … down to single steps, as long as the rest still differs.
   */
  async #shrink(
    steps: readonly Step[],
    difference: Difference,
    options: { unprivileged?: boolean; shrinkMs: number },
  ): Promise<{ steps: readonly Step[]; difference: Difference }> {
    const deadline = performance.now() + options.shrinkMs;
    let best = { steps, difference };
    const attempt = async (fewer: Step[]): Promise<boolean> => {
      const still = await this.run(fewer, options);
      if (still === undefined || !alike(still, difference)) return false;
      best = { steps: fewer.slice(0, still.step + 1), difference: still };
      return true;
    };
    const beginning = steps.slice(0, PREPARING_STEPS);
    for (let tail = TAIL_STEPS; PREPARING_STEPS + tail < steps.length; tail *= 4) {
      if (await attempt([...beginning, ...steps.slice(-tail)])) break;
    }
    for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let at = best.steps.length - size; at >= 0; at -= size) {
        if (performance.now() > deadline) return best;
        if (await attempt([...best.steps.slice(0, at), ...best.steps.slice(at + size)])) {
          at = Math.min(at, best.steps.length);
        }
      }
    }
    return best;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (isMounted(this.reference)) await run("umount", ["-l", this.reference]);
    await this.mount[Symbol.asyncDispose]();
  }
}

/** The same kind of difference: what was compared, whatever its values. */
function alike(a: Difference, b: Difference): boolean {
  const kind = (difference: Difference) => {
    const { what } = difference.differs as { what?: string[] };
    return JSON.stringify(what?.map((part) => part.replace(/^[/@].*/, "")) ?? null);
  };
  return kind(a) === kind(b);
}

/** Before the first mount nothing depends on it: the file system gets another chunk size. */
async function setChunkSize(mount: ScratchMount, bytes: number): Promise<void> {
  const script = `import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1] + "/metadata.db")
database.execute("UPDATE setting SET value = ? WHERE name = 'chunk_size'", (int(sys.argv[3]),))
database.commit()
database.close()
with open(sys.argv[2], "r+") as file:
    descriptor = json.load(file)
    descriptor["chunkSize"] = int(sys.argv[3])
    file.seek(0)
    json.dump(descriptor, file)
    file.truncate()
`;
  const found = await run("sh", [
    "-c",
    'find "$0" -type f -path "*zero.json*" | head -1',
    mount.storeDirectory,
  ]);
  const result = await run(PYTHON, [
    "-c",
    script,
    mount.cache,
    found.stdout.trim(),
    `${bytes}`,
  ]);
  requireCode(result, 0, "setting the chunk size");
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncIterable<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}

/** Rows of files that are not in the bucket, for messages. */
async function dirtyRows(mount: ScratchMount): Promise<string> {
  const script = `import sqlite3, sys
database = sqlite3.connect("file:" + sys.argv[1] + "/metadata.db?mode=ro", uri=True)
print(database.execute("SELECT id, mode, nlink, size, allocated, resident, local, dead_from FROM inode WHERE dirty").fetchall(),
      database.execute("SELECT * FROM orphan").fetchall())`;
  return (await run(PYTHON, ["-c", script, mount.cache])).stdout.trim();
}
