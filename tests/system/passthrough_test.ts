/** Files served by passthrough: programs that share one in every way, eviction in between, a crash. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { helperObstacle, openDevice } from "../harness/served_mount.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { until } from "../harness/until.ts";
import { run, zeroEnvironment, zeroExecutable } from "../harness/zero_process.ts";

const SIZE = 300_000;
const PROGRAM = new URL("../harness/mapped_reader.py", import.meta.url).pathname;

/** What each file holds at first. */
const WRITE = `for name in read map shared; do
  head -c ${SIZE} /dev/zero | tr '\\0' "$name" > "$name"
done`;

function content(letter: string): Uint8Array {
  return new TextEncoder().encode(letter.repeat(SIZE));
}

const seen = (bytes: Uint8Array) =>
  `ok ${createHash("sha256").update(bytes).digest("hex")} ${bytes.length}`;

/** One program that is told what to do (mapped_reader.py), with a time limit. */
class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #rest = "";
  #ended: Promise<void> | undefined;

  constructor(directory: string) {
    this.#child = new Deno.Command("timeout", {
      args: [
        "--signal=KILL",
        "120",
        "sh",
        "-c",
        'cd "$0" && exec python3 "$1"',
        directory,
        PROGRAM,
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#input = this.#child.stdin.getWriter();
  }

  async ask(line: string): Promise<string> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error(`the program has ended at '${line}'`);
      this.#rest += value;
    }
    const at = this.#rest.indexOf("\n");
    const answer = this.#rest.slice(0, at).trim();
    this.#rest = this.#rest.slice(at + 1);
    return answer;
  }

  async ok(...lines: string[]): Promise<void> {
    for (const line of lines) assert.match(await this.ask(line), /^ok/, line);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#ended ??= this.#end();
  }

  end(): Promise<void> {
    return this[Symbol.asyncDispose]();
  }

  async #end(): Promise<void> {
    await this.#input.close().catch(() => {}); // It may have ended by itself.
    await this.#lines.cancel();
    await this.#child.status;
  }
}

interface Status {
  serving: { passthrough: boolean; reason?: string; lent: number };
}

const lentOf = async (mount: ScratchMount) =>
  (await mount.json<Status>(["status", mount.mountpoint])).serving.lent;

Deno.test("programs that share a file in every way see the same bytes, and never an error", async () => {
  await using mount = await ScratchMount.create({ env: { ZERO_UPLOAD_AFTER: "50ms" } });
  const { serving } = await mount.json<Status>(["status", mount.mountpoint]);
  if (!serving.passthrough) {
    console.log(`passthrough is not tested: ${serving.reason}`);
    return;
  }
  await mount.sh(WRITE);
  await mount.zeroOk(["sync", mount.mountpoint]);
  const one = new Program(mount.mountpoint);
  await using _programs = one;
  // An open lends them where nothing of them is under way.
  await until("a file is lent", async () => {
    await one.ok("open r read ro");
    if (await lentOf(mount) === 1) return true;
    await one.ok("close r");
    await new Promise((resolve) => setTimeout(resolve, 500));
    return undefined;
  });

  // A mapping alone, whose descriptor is closed, keeps its file where it is.
  await one.ok("open m map ro", "map shared m shared", "map private m private", "close m");
  assert.equal(await one.ask(`look shared 0 ${SIZE}`), seen(content("m")));
  const evicted = await mount.zero(["evict", `${mount.mountpoint}/map`]);
  assert.match(evicted.stdout + evicted.stderr, /open/);
  assert.equal(await one.ask(`look shared 0 ${SIZE}`), seen(content("m")));

  // Readers, writers of all kinds, and mappings of one file at a time.
  await one.ok("open r2 shared ro", "map look r2 shared", "open w shared rw", "map store w write");
  let bytes = content("s");
  const put = (at: number, text: string) => bytes.set(new TextEncoder().encode(text), at);
  const other = new Program(mount.mountpoint);
  await using _others = other;
  await other.ok(
    "open a shared append",
    "open w shared wo",
    "open r shared ro",
    "open d shared direct",
  );
  await other.ok("write w 5 seen", "fsync w");
  put(5, "seen");
  await one.ok("store store 100000 stored", "write w 200000 written");
  put(100_000, "stored");
  put(200_000, "written");
  for (
    const [program, line] of [[one, "read r2"], [one, "look look"], [one, "read w"], [
      other,
      "read r",
    ]] as const
  ) {
    assert.equal(await program.ask(`${line} 0 ${SIZE}`), seen(bytes), line);
  }
  assert.equal(await other.ask("read d 0 4096"), seen(bytes.subarray(0, 4096)));
  assert.equal(
    await mount.sh("sha256sum < shared"),
    `${createHash("sha256").update(bytes).digest("hex")}  -\n`,
  );
  await mount.sh("truncate -s 150000 shared && printf tail >> shared");
  bytes = new Uint8Array([...bytes.subarray(0, 150_000), ...new TextEncoder().encode("tail")]);
  assert.equal(await one.ask(`read r2 0 ${SIZE}`), seen(bytes));
  assert.equal(await other.ask(`read r 0 ${SIZE}`), seen(bytes));
  await other.ok("open t shared trunc", "write t 0 again");
  assert.equal(await one.ask(`read r2 0 ${SIZE}`), seen(new TextEncoder().encode("again")));
  await mount.sh("mv shared renamed && rm renamed");
  await one.ok("write w 2 AIN");
  assert.equal(await other.ask("read r 0 99"), seen(new TextEncoder().encode("agAIN")));
  await mount.zero(["evict", mount.mountpoint]);
  assert.equal(await one.ask(`read r 0 ${SIZE}`), seen(content("r")), "open: it stays");

  // The daemon dies. Whoever has it mapped still sees it, and nothing of it goes.
  await mount.killDaemon();
  await mount.mount();
  await mount.zero(["evict", mount.mountpoint]);
  assert.equal(await one.ask(`look shared 0 ${SIZE}`), seen(content("m")));
  assert.equal(await one.ask(`look private 0 ${SIZE}`), seen(content("m")));
  assert.match(
    await mount.sh("zero=$(getfattr -n user.zero.state --only-values map) && echo $zero"),
    /clean/,
  );
  // The kernel keeps what the dead daemon had lent as long as anything is open there.
  await one.end();
  await other.end();
  await mount.zeroOk(["evict", `${mount.mountpoint}/map`]);
  assert.match(await mount.sh("getfattr -n user.zero.state --only-values map"), /evicted/);
  assert.equal(await mount.sh(`head -c ${SIZE} map | tr -d m | wc -c`), "0\n");
  await mount.zeroOk(["fsck", mount.mountpoint]);
  await mount.unmount();
});

Deno.test({
  name: "without root everything is served visibly, and status says why",
  ignore: Deno.uid() !== 0 || helperObstacle() !== undefined,
  fn: async () => {
    using _device = openDevice();
    const home = await Deno.makeTempDir({ prefix: "zero-user-" });
    const drop = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    const as = (...command: string[]) =>
      run("setpriv", [...drop, ...command], { env: zeroEnvironment(home), clearEnv: true });
    try {
      for (const name of ["mnt", "unpacked"]) await Deno.mkdir(`${home}/${name}`);
      await run("chown", ["-R", "65534:65534", home]);
      const zero = (...args: string[]) =>
        as("env", `XDG_CACHE_HOME=${home}/unpacked`, zeroExecutable, ...args);
      const mounted = await zero(
        "mount",
        "--store",
        `file://${home}/store`,
        "--cache",
        `${home}/cache`,
        `${home}/mnt`,
      );
      assert.equal(mounted.code, 0, mounted.stderr);
      const status = await zero("status", `${home}/mnt`);
      assert.match(status.stdout, /visible only \(passthrough needs root/);
      const script = 'echo hello > "$0/f" && cat "$0/f" && truncate -s 2 "$0/f" && cat "$0/f"';
      assert.equal((await as("sh", "-c", script, `${home}/mnt`)).stdout, "hello\nhe");
      assert.equal((await zero("unmount", `${home}/mnt`)).code, 0);
    } finally {
      await run("umount", ["-l", `${home}/mnt`]);
      await Deno.remove(home, { recursive: true });
    }
  },
});
