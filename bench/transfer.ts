/**
 * How fast content moves between Zero and a store, against the raw SDK moving the same bytes with the
 * same parallelism, to and from the same server, in the same run. Server, Zero, and whatever uses the
 * SDK are processes of their own. What was uploaded lies on the local disk before (both read it from
 * the page cache), and what was recalled lies on it afterwards, durably, for both.
 *
 * By default the store is as far away as a real one: 20 ms and 1 Gbit/s each way. On loopback without a
 * line (`--no-line`) all processors do is copy and hash, and the ratio says how many cycles each side
 * takes for a byte, the server's included. `--swift` takes OpenStack Swift instead of the simulator.
 */
import { GiB, MiB } from "../src/domain/units.ts";
import { callDaemon, wirePath } from "../src/cli/control_client.ts";
import type { ControlRequest } from "../src/daemon/control_protocol.ts";
import { ScratchMount } from "../tests/harness/scratch_mount.ts";
import { SimulatorProcess } from "../tests/harness/simulator_process.ts";
import { ensureSwift, startSwift } from "../tests/harness/swift_server.ts";
import { run } from "../tests/harness/zero_process.ts";

export interface TransferOptions {
  rounds: number;
  /** 1: a file of 1 GiB, 10,000 files of 4 KiB. */
  scale: number;
  /** Which: large, small. */
  groups: readonly string[];
  /** A directory for everything, on the disk that is measured. */
  parent: string | undefined;
  line: boolean;
  swift: boolean;
  encrypted: boolean;
}

const LINE = { latencyMs: 20, bytesPerSecond: 125_000_000 };
const PIECE_BYTES = 16 * MiB;
const CHUNK_BYTES = 4 * MiB;
/** Zero's own defaults. */
const UPLOADS = 4;
const DOWNLOADS = 8;
const FIRST_BYTES = 7;
const EXT4_FORGETS_MS = 65_000;
const TIMEOUT_MS = 1_800_000;
const worker = new URL("./transfer_work.ts", import.meta.url).pathname;

interface Place {
  store: string;
  /** For Zero, and for the SDK. */
  env: Record<string, string>;
  what: string;
  [Symbol.asyncDispose](): Promise<void>;
}

async function simulatedStore(line: boolean): Promise<Place> {
  const simulator = await SimulatorProcess.start(undefined, {
    inMemory: true,
    link: line ? LINE : undefined,
  });
  const { endpoint, region, bucket } = simulator.address;
  return {
    store: simulator.url("zero"),
    env: { ...simulator.env, ENDPOINT: endpoint, REGION: region, BUCKET: bucket },
    what: line
      ? `the simulator behind ${LINE.latencyMs} ms and ${LINE.bytesPerSecond / 1e6} MB/s each way`
      : "the simulator on loopback",
    [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
  };
}

async function swiftStore(): Promise<Place> {
  const why = await ensureSwift();
  if (why !== undefined) throw new Error(why);
  const swift = await startSwift();
  const bucket = await swift.createBucket();
  const { endpoint, region, keyId, applicationKey } = swift;
  return {
    store: `s3://${bucket}/zero?endpoint=${endpoint}&region=${region}`,
    env: {
      AWS_ACCESS_KEY_ID: keyId,
      AWS_SECRET_ACCESS_KEY: applicationKey,
      ENDPOINT: endpoint,
      REGION: region,
      BUCKET: bucket,
    },
    what: "Swift on loopback",
    [Symbol.asyncDispose]: () => swift.stop(),
  };
}

/** For a minute ext4 looks for inodes other than those that were just deleted, 0.6 ms for each new file. */
const forgotten = () => new Promise((resolve) => setTimeout(resolve, EXT4_FORGETS_MS));

class Transfer {
  readonly #mount: ScratchMount;
  readonly #place: Place;
  readonly #scale: number;
  readonly #rows = new Map<string, { zero: number[]; raw: number[] }>();

  constructor(mount: ScratchMount, place: Place, scale: number) {
    this.#mount = mount;
    this.#place = place;
    this.#scale = scale;
  }

  /** Seconds that the daemon takes for a command. */
  async #ask(request: ControlRequest): Promise<number> {
    const start = performance.now();
    await this.#command(request);
    return (performance.now() - start) / 1000;
  }

  /** What the daemon answers, without starting the program that asks. Throws where anything was left out. */
  async #command(request: ControlRequest): Promise<Record<string, unknown>> {
    const { cache, mountpoint } = this.#mount;
    const result = await callDaemon<Record<string, unknown>>(
      { cache, mountpoint: new TextEncoder().encode(mountpoint) },
      request,
    );
    const left = (result.unsafe as { files: number } | undefined)?.files ?? result.failedFiles ??
      result.stayedFiles;
    if (left !== 0) throw new Error(`${request.command}: ${JSON.stringify(result)}`);
    return result;
  }

  async #work<T = { seconds: number }>(...args: (string | number)[]): Promise<T> {
    const result = await run(Deno.execPath(), [
      ...["run", "-A", "--quiet", "--no-check", worker],
      ...args.map(String),
    ], { env: this.#place.env, timeoutMs: TIMEOUT_MS });
    if (result.code !== 0) throw new Error(`${args[0]}: ${result.stderr}`);
    return JSON.parse(result.stdout) as T;
  }

  async #raw(...args: (string | number)[]): Promise<number> {
    return (await this.#work(...args)).seconds;
  }

  #note(row: string, zero: number, raw: number): void {
    const known = this.#rows.get(row) ?? { zero: [], raw: [] };
    known.zero.push(zero);
    known.raw.push(raw);
    this.#rows.set(row, known);
  }

  #path(name: string) {
    return wirePath([new TextEncoder().encode(name)]);
  }

  async #shell(script: string): Promise<void> {
    const { directory, mountpoint } = this.#mount;
    const result = await run("sh", ["-ec", script, directory, mountpoint], {
      timeoutMs: TIMEOUT_MS,
    });
    if (result.code !== 0) throw new Error(`${script}: ${result.stderr}`);
  }

  /** Nothing of it is left on the disk, nor in the kernel's page cache. */
  async #evict(name: string): Promise<void> {
    // A moment after its last close the kernel still has it open.
    for (let tries = 1;; tries++) {
      try {
        const { files } = await this.#command({ command: "evict", paths: [this.#path(name)] });
        if (files === 1) break;
        if (tries === 50) throw new Error(`nothing of ${name} is there to be evicted`);
      } catch (error) {
        if (tries === 50) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await this.#shell(
      `test -d "$1/${name}" || dd if="$1/${name}" iflag=nocache count=0 status=none`,
    );
  }

  async large(round: number): Promise<void> {
    const name = `large${round}`;
    const file = `${this.#mount.directory}/${name}`;
    const bytes = Math.ceil(GiB * this.#scale / PIECE_BYTES) * PIECE_BYTES;
    await this.#shell(
      `head -c ${bytes} /dev/urandom >"$0/${name}"; cp "$0/${name}" "$1/"; sync -f "$1/${name}" "$0"`,
    );
    const path = this.#path(name);
    const raw = await this.#raw("upload", file, name, PIECE_BYTES, UPLOADS);
    this.#note("upload, large file", await this.#ask({ command: "sync" }), raw);
    await this.#firstBytes(name, bytes / PIECE_BYTES);
    const rawDown = await this.#raw("download", file, name, PIECE_BYTES, DOWNLOADS);
    await this.#evict(name);
    await forgotten();
    this.#note(
      "recall, large file",
      await this.#ask({ command: "recall", paths: [path] }),
      rawDown,
    );
    await this.#evict(name);
    const start = performance.now();
    await this.#shell(`cmp "$1/${name}" "$0/${name}"`);
    this.#note("read through, large file", (performance.now() - start) / 1000, rawDown);
    await this.#shell(`rm "$1/${name}" "$0/${name}" "$0/${name}.down"`);
  }

  async #firstBytes(name: string, pieces: number): Promise<void> {
    const { each } = await this.#work<{ each: number[] }>(
      ...["range", name, CHUNK_BYTES, FIRST_BYTES, pieces] as const,
    );
    for (const raw of each) {
      await this.#evict(name);
      const zero = await this.#raw("first-byte", `${this.#mount.mountpoint}/${name}`);
      this.#note("first byte, large file", zero, raw);
    }
  }

  async small(round: number): Promise<void> {
    const name = `small${round}`;
    const directory = `${this.#mount.directory}/${name}`;
    const files = Math.ceil(10_000 * this.#scale);
    await this.#shell(
      `mkdir "$0/${name}"; cd "$0/${name}"; head -c ${files * 4096} /dev/urandom | ` +
        `split -a 5 -b 4096 - f; cp -r "$0/${name}" "$1/"; sync -f "$1" "$0"`,
    );
    const path = this.#path(name);
    const raw = await this.#raw("upload-each", directory, name, UPLOADS);
    this.#note(`upload, files of 4 KiB`, await this.#ask({ command: "sync" }), raw);
    const rawDown = await this.#raw("download-each", directory, name, DOWNLOADS);
    await this.#ask({ command: "evict", paths: [path] });
    await forgotten();
    this.#note(
      `recall, files of 4 KiB`,
      await this.#ask({ command: "recall", paths: [path] }),
      rawDown,
    );
    await this.#shell(`diff -r "$1/${name}" "$0/${name}"; rm -r "$1/${name}" "$0/${name}"*`);
  }

  /** The most memory that the daemon had so far, MiB. */
  memory(): number {
    const status = Deno.readTextFileSync(`/proc/${this.#mount.daemonPid()}/status`);
    return Number(/^VmHWM:\s*(\d+)/m.exec(status)![1]) / 1024;
  }

  print(): void {
    for (const [row, { zero, raw }] of this.#rows) {
      const [mine, theirs] = [median(zero), median(raw)];
      const ratios = zero.map((seconds, at) => raw[at] / seconds);
      const ratio = `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${
        Math.max(...ratios).toFixed(2)
      })`;
      const milli = row.startsWith("first");
      const text = (seconds: number) =>
        milli ? `${(1000 * seconds).toFixed(0)} ms` : `${seconds.toFixed(2)} s`;
      console.log(
        `  ${row.padEnd(28)}${ratio.padStart(24)}${text(mine).padStart(12)}${
          text(theirs).padStart(12)
        }`,
      );
    }
    console.log(`  ${"memory of the daemon, at most".padEnd(40)}${this.memory().toFixed(0)} MiB`);
  }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Measures and prints. Throws where anything does not arrive as it was sent. */
export async function measureTransfer(options: TransferOptions): Promise<void> {
  const { rounds, scale, groups, parent, line, swift, encrypted } = options;
  await using place = swift ? await swiftStore() : await simulatedStore(line);
  await using mount = await ScratchMount.create({
    parent,
    store: place.store,
    env: { ...place.env, ZERO_UPLOAD_AFTER: "24h", ZERO_DISK_MIN_FREE: "0B" },
    mountArguments: ["--disk-target", "8GiB"],
    unmounted: true,
  });
  const secret = `${mount.directory}/passphrase`;
  await Deno.writeTextFile(secret, "a passphrase of benchmarks\n", { mode: 0o600 });
  const key = encrypted ? ["--passphrase-file", secret] : [];
  if (encrypted) {
    const places = ["--store", mount.store, "--cache", mount.cache];
    await mount.zeroOk(["init", "--encrypt", ...places, ...key]);
  }
  await mount.mount(...key);
  const transfer = new Transfer(mount, place, scale);
  for (let round = 0; round < rounds; round++) {
    if (groups.includes("large")) await transfer.large(round);
    if (groups.includes("small")) await transfer.small(round);
    console.error(`round ${round + 1} of ${rounds}, load ${Deno.loadavg()[0].toFixed(1)}`);
  }
  console.log(
    `\ntransfers${
      encrypted ? ", encrypted" : ""
    }, ${place.what}: speed against the raw SDK, median of ` +
      `${rounds} rounds, scale ${scale}\n\n${"".padEnd(30)}${"".padStart(24)}${
        "zero".padStart(10)
      }${"raw".padStart(12)}`,
  );
  transfer.print();
  await mount.unmount();
}
