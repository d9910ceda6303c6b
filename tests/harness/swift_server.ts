/**
 * OpenStack Swift with its S3 layer, as a second, real store to test against: strict signatures,
 * versions, content on disk, 501 for conditional puts, all as B2 has them.
 *
 * It comes from Debian's packages; `ensureSwift` installs them where this process is root. Each
 * server is five processes on free ports in a directory of its own. They end with `stop`, and also
 * when this process dies.
 *
 * Differs from B2: an unknown key id is a SignatureDoesNotMatch, and there is no native API.
 */
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from "@aws-sdk/client-s3";

const packages = ["swift-proxy", "swift-account", "swift-container", "swift-object", "memcached"];
/** The interpreter that Debian's Swift is installed for. */
const python = "/usr/bin/python3";
const helper = new URL("./swift/swift_node.py", import.meta.url).pathname;

export interface SwiftServer {
  endpoint: string;
  keyId: string;
  applicationKey: string;
  region: string;
  directory: string;
  /** Makes a bucket with versions, as all buckets of B2 are. Returns its name. */
  createBucket(name?: string): Promise<string>;
  stop(): Promise<void>;
}

async function succeeds(command: string, args: string[], timeoutMs: number): Promise<string> {
  try {
    const { success, stderr } = await new Deno.Command(command, {
      args,
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.timeout(timeoutMs),
    }).output();
    return success ? "" : new TextDecoder().decode(stderr).trim() || `${command} failed`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `${command} is not installed`;
    throw error;
  }
}

/** Whether Swift and memcached are installed here. */
export async function swiftAvailable(): Promise<boolean> {
  const modules = "import swift.proxy.server, swift.obj.server, swift.container.server, " +
    "swift.account.server";
  return await succeeds(python, ["-c", modules], 60_000) === "" &&
    await succeeds("memcached", ["-V"], 10_000) === "";
}

let ensured: Promise<string | undefined> | undefined;

/** Installs Swift where it is not, and this process may. Returns why there is none, or undefined. */
export function ensureSwift(): Promise<string | undefined> {
  ensured ??= (async () => {
    if (await swiftAvailable()) return undefined;
    if (Deno.uid() !== 0) return "Swift is not installed, and installing it needs root";
    const install = ["install", "-y", "-qq", "--no-install-recommends", ...packages];
    // The lists of packages may be old, or empty: then once more with fresh ones.
    let why = await succeeds("apt-get", install, 600_000);
    if (why !== "") {
      await succeeds("apt-get", ["update", "-qq"], 300_000);
      why = await succeeds("apt-get", install, 600_000);
    }
    if (await swiftAvailable()) return undefined;
    return `Swift could not be installed: ${why.split("\n").pop()}`;
  })();
  return ensured;
}

/** Ports that were free a moment ago. */
function freePorts(count: number): number[] {
  const listeners = Array.from(
    { length: count },
    () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  );
  const ports = listeners.map((listener) => (listener.addr as Deno.NetAddr).port);
  for (const listener of listeners) listener.close();
  return ports;
}

async function stopAll(processes: Deno.ChildProcess[]): Promise<void> {
  await Promise.all(processes.map(async (child) => {
    // The end of its input ends the process by itself; SIGKILL is for one that hangs.
    await child.stdin.close().catch(() => {});
    const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
    await child.status;
    clearTimeout(timer);
  }));
}

async function answers(port: number, path: string): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      signal: AbortSignal.timeout(5000),
    });
    await response.body?.cancel();
    return true;
  } catch (error) {
    // Not listening yet (TypeError), or too busy starting.
    if (error instanceof TypeError || (error as Error).name === "TimeoutError") return false;
    throw error;
  }
}

async function startOnce(
  directory: string,
): Promise<{ processes: Deno.ChildProcess[]; port: number } | string> {
  const ports = freePorts(5);
  const why = await succeeds(python, [helper, "prepare", directory, ...ports.map(String)], 60_000);
  if (why !== "") throw new Error(`Swift could not be prepared: ${why}`);
  const [proxy, object, container, account, memcache] = ports;
  const start = (args: string[]) =>
    new Deno.Command(python, {
      args: [helper, ...args],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
  const processes = [
    start(["memcached", directory, String(memcache)]),
    ...["object", "container", "account", "proxy"].map((kind) => start(["run", directory, kind])),
  ];
  let ended = false;
  for (const child of processes) child.status.then(() => ended = true);
  const deadline = Date.now() + 90_000;
  while (!ended && Date.now() < deadline) {
    const up = await Promise.all([
      answers(proxy, "/healthcheck"),
      ...[object, container, account].map((port) => answers(port, "/")),
    ]);
    if (up.every((each) => each)) return { processes, port: proxy };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stopAll(processes);
  const what = ended ? "one of its processes ended" : "it did not answer within 90 s";
  return `${what}\n${await logTails(directory)}`;
}

/** The last lines that each process of the server wrote. */
async function logTails(directory: string): Promise<string> {
  const tails: string[] = [];
  for await (const { name } of Deno.readDir(`${directory}/log`)) {
    const lines = (await Deno.readTextFile(`${directory}/log/${name}`)).trimEnd().split("\n");
    tails.push(...lines.slice(-5).map((line) => `${name}: ${line}`));
  }
  return tails.join("\n");
}

/**
 * Starts a server. Without `directory`, one is made and removed with `stop`; it needs a file system
 * with user extended attributes.
 */
export async function startSwift(directory?: string): Promise<SwiftServer> {
  const own = directory === undefined;
  const place = directory ?? await Deno.makeTempDir({ prefix: "zero-swift-" });
  const remove = async () => {
    if (own) await Deno.remove(place, { recursive: true });
  };
  let why = "";
  // Another process may take a free port before Swift does.
  for (let attempt = 0; attempt < 3; attempt++) {
    const started = await startOnce(place).catch(async (error) => {
      await remove();
      throw error;
    });
    if (typeof started !== "string") return server({ ...started, directory: place, remove });
    why = started;
  }
  await remove();
  throw new Error(`Swift did not start: ${why}`);
}

function server(parts: {
  processes: Deno.ChildProcess[];
  port: number;
  directory: string;
  remove: () => Promise<void>;
}): SwiftServer {
  const access = {
    endpoint: `http://127.0.0.1:${parts.port}`,
    keyId: "test:tester",
    applicationKey: "testing",
    region: "us-east-1",
  };
  let buckets = 0;
  return {
    ...access,
    directory: parts.directory,
    createBucket: async (name = `bucket-${++buckets}-${crypto.randomUUID().slice(0, 8)}`) => {
      const client = new S3Client({
        endpoint: access.endpoint,
        region: access.region,
        forcePathStyle: true,
        credentials: { accessKeyId: access.keyId, secretAccessKey: access.applicationKey },
        requestChecksumCalculation: "WHEN_REQUIRED",
      });
      try {
        await client.send(new CreateBucketCommand({ Bucket: name }));
        await client.send(
          new PutBucketVersioningCommand({
            Bucket: name,
            VersioningConfiguration: { Status: "Enabled" },
          }),
        );
      } finally {
        client.destroy();
      }
      return name;
    },
    stop: async () => {
      await stopAll(parts.processes);
      await parts.remove();
    },
  };
}
