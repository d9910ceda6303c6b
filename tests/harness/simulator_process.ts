/**
 * A B2 simulator in a process of its own, as the built program sees a store: it can be scripted, taken
 * away (connections are refused) and brought back on the same port with the same content. Owns the
 * process and a scratch directory; ends both when disposed.
 */
import type { LinkOptions } from "./b2_simulator/link.ts";
import { controlB2Simulator, type FaultRule, type SimulatorAddress } from "./b2_simulator.ts";
import { until } from "./until.ts";

const program = new URL("./b2_simulator.ts", import.meta.url).pathname;

export class SimulatorProcess {
  readonly directory: string;
  #child: Deno.ChildProcess | undefined;
  #address!: SimulatorAddress;

  readonly #arguments: string[];

  private constructor(directory: string, more: string[]) {
    this.directory = directory;
    this.#arguments = more;
  }

  /**
   * `key`: the only one that the store takes; by default one that everybody knows. `inMemory`: its
   * content is gone when it is stopped. `link`: how far away it is.
   */
  static async start(
    key?: { keyId: string; applicationKey: string },
    options: { inMemory?: boolean; link?: LinkOptions } = {},
  ): Promise<SimulatorProcess> {
    const directory = await Deno.makeTempDir({ prefix: "zero-simulator-" });
    const { link } = options;
    const simulator = new SimulatorProcess(directory, [
      ...options.inMemory ? [] : ["--data", `${directory}/data`],
      ...key === undefined ? [] : ["--key-id", key.keyId, "--application-key", key.applicationKey],
      ...link === undefined ? [] : [
        ...["--latency-ms", `${link.latencyMs}`],
        ...["--bytes-per-second", `${link.bytesPerSecond}`],
      ],
    ]);
    try {
      await simulator.#spawn(0);
      return simulator;
    } catch (error) {
      await simulator[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #spawn(port: number): Promise<void> {
    const portFile = `${this.directory}/address`;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-check", program, "--port-file", portFile],
        ...["--port", String(port), ...this.#arguments],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const line = await until("the simulator listens", () => readIfThere(portFile));
    this.#address = JSON.parse(line);
    await Deno.remove(portFile);
  }

  /** Where the store is, and its credentials. */
  get address(): SimulatorAddress {
    return this.#address;
  }

  /** The URL of a prefix. */
  url(prefix = "zero"): string {
    const { bucket, endpoint, region } = this.#address;
    return `s3://${bucket}/${prefix}?endpoint=${endpoint}&region=${region}`;
  }

  /** What the program under test finds its credentials in. */
  get env(): Record<string, string> {
    const { keyId, applicationKey } = this.#address;
    return { AWS_ACCESS_KEY_ID: keyId, AWS_SECRET_ACCESS_KEY: applicationKey };
  }

  get control(): ReturnType<typeof controlB2Simulator> {
    return controlB2Simulator(this.#address.endpoint);
  }

  /** Every request gets this answer, or none, until `heal`. */
  async fail(action: FaultRule["action"], match: FaultRule["match"] = {}): Promise<void> {
    await this.control.addRules([{ label: "outage", match, action }]);
  }

  async heal(): Promise<void> {
    await this.control.clearRules("outage");
  }

  /** Requests that reached the store, in all, since the last `control.resetCounts`. */
  async calls(): Promise<number> {
    return Object.values(await this.control.counts()).reduce((sum, count) => sum + count, 0);
  }

  /** Connections are refused from now on. */
  async stop(): Promise<void> {
    if (this.#child === undefined) return;
    this.#child.kill("SIGKILL");
    await this.#child.status;
    this.#child = undefined;
  }

  /** The same store again, on the same port, without any fault. */
  async restart(): Promise<void> {
    await this.#spawn(Number(new URL(this.#address.endpoint).port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await Deno.remove(this.directory, { recursive: true });
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
