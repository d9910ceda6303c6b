/** Who is measured: a directory each, and as whom its programs run. Owns the mounts that it makes. */
import { run, zeroExecutable } from "../tests/harness/zero_process.ts";
import type { ScratchMount } from "../tests/harness/scratch_mount.ts";
import { ensureSwift, startSwift } from "../tests/harness/swift_server.ts";

export interface Contestant {
  readonly name: string;
  readonly directory: string;
  /** A command before each program, to run it as somebody else; empty: as ourselves. */
  readonly as: string[];
}

export async function rawDisk(parent: string): Promise<Contestant> {
  const directory = `${parent}/raw`;
  await Deno.mkdir(directory);
  await Deno.chmod(directory, 0o777);
  return { name: "ext4", directory, as: [] };
}

export const zeroMount = (mount: ScratchMount): Contestant => ({
  name: "zero",
  directory: mount.mountpoint,
  as: [],
});

/** Another file system over the same disk. Throws where it is not installed or does not mount. */
export async function openPeer(
  name: string,
  parent: string,
): Promise<Contestant & AsyncDisposable> {
  const home = `${parent}/${name}`;
  const directory = `${home}/mnt`;
  for (const part of ["mnt", "data", "cache", "bucket", "unpacked"]) {
    await Deno.mkdir(`${home}/${part}`, { recursive: true });
  }
  switch (name) {
    case "unprivileged":
      return await unprivileged(parent, home);
    case "bindfs":
      await mounted("bindfs", directory, [`${home}/data`, directory]);
      return peer(name, directory);
    case "rclone":
      await mounted("rclone", directory, [
        ...["mount", `${home}/data`, directory, "--daemon", "--vfs-cache-mode", "full"],
        ...["--cache-dir", `${home}/cache`, "--config", "/dev/null"],
      ]);
      return peer(name, directory);
    case "s3fs":
      return await s3fs(home, directory);
  }
  throw new Error(`--peers: ${name} is none of unprivileged, bindfs, rclone, s3fs`);
}

/** Over Swift, since s3fs asks for lists of objects in a way that only old servers know. */
async function s3fs(home: string, directory: string): Promise<Contestant & AsyncDisposable> {
  const why = await ensureSwift();
  if (why !== undefined) throw new Error(why);
  const server = await startSwift();
  try {
    const { endpoint, region, keyId, applicationKey } = server;
    const bucket = await server.createBucket();
    const args = [
      ...[bucket, directory, "-o", `url=${endpoint}`, "-o", "use_path_request_style"],
      ...["-o", `endpoint=${region}`, "-o", `use_cache=${home}/cache`],
    ];
    const env = { AWSACCESSKEYID: keyId, AWSSECRETACCESSKEY: applicationKey };
    await mounted("s3fs", directory, args, env);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return peer("s3fs", directory, () => server.stop());
}

async function mounted(
  command: string,
  directory: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<void> {
  if ((await run("sh", ["-c", `command -v ${command}`])).code !== 0) {
    throw new Error(`${command} is not installed`);
  }
  const result = await run(command, args, { env });
  if (result.code !== 0) throw new Error(`${command} does not mount: ${result.stderr}`);
  // Some say that all is well, and give up in the background.
  for (let waited = 0; (await run("mountpoint", ["-q", directory])).code !== 0; waited++) {
    if (waited === 50) throw new Error(`${command} says that it has mounted, and has not`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function peer(
  name: string,
  directory: string,
  more: () => Promise<void> = () => Promise.resolve(),
): Contestant & AsyncDisposable {
  return {
    name,
    directory,
    as: [],
    async [Symbol.asyncDispose]() {
      await run("umount", ["-l", directory]);
      await more();
    },
  };
}

/** Zero as a user who may do nothing special: no passthrough, mounted by fusermount3. */
async function unprivileged(parent: string, home: string): Promise<Contestant & AsyncDisposable> {
  const as = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  await Deno.chmod(parent, 0o755);
  await run("chown", ["-R", "65534:65534", home]);
  const arguments_ = [
    ...["mount", "--store", `file://${home}/bucket`, "--cache", `${home}/cache`],
    `${home}/mnt`,
  ];
  const env = {
    PATH: Deno.env.get("PATH") ?? "",
    HOME: home,
    XDG_CACHE_HOME: `${home}/unpacked`,
  };
  const zero = (args: string[]) =>
    run(as[0], [...as.slice(1), zeroExecutable, ...args], { env, clearEnv: true });
  const result = await zero(arguments_);
  if (result.code !== 0) throw new Error(`zero does not mount as nobody: ${result.stderr}`);
  return {
    name: "unprivileged",
    directory: `${home}/mnt`,
    as,
    async [Symbol.asyncDispose]() {
      await zero(["unmount", "--no-flush", `${home}/mnt`]);
    },
  };
}
