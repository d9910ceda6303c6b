/** Who is measured: a directory each, and as whom its programs run. Owns the mounts that it makes. */
import { run, zeroExecutable } from "../tests/harness/zero_process.ts";
import type { ScratchMount } from "../tests/harness/scratch_mount.ts";
import { SimulatorProcess } from "../tests/harness/simulator_process.ts";

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
    case "s3fs": {
      const server = await SimulatorProcess.start({
        keyId: "000000000000000000000001",
        applicationKey: "K000000000000000000000000000001",
      });
      const keys = `${home}/keys`;
      await Deno.writeTextFile(keys, "000000000000000000000001:K000000000000000000000000000001\n", {
        mode: 0o600,
      });
      const { endpoint, bucket } = server.address;
      await mounted("s3fs", directory, [
        ...[bucket, directory, "-o", `url=${endpoint}`, "-o", "use_path_request_style"],
        ...["-o", `passwd_file=${keys}`, "-o", `use_cache=${home}/cache`],
      ]);
      return peer(name, directory, () => server[Symbol.asyncDispose]());
    }
  }
  throw new Error(`--peers: ${name} is none of unprivileged, bindfs, rclone, s3fs`);
}

async function mounted(command: string, directory: string, args: string[]): Promise<void> {
  if ((await run("sh", ["-c", `command -v ${command}`])).code !== 0) {
    throw new Error(`${command} is not installed`);
  }
  const result = await run(command, args);
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
