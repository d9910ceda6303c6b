/**
 * A disk that can lose its power: an ext4 image on a loop device with direct I/O. A cut is the ext4
 * shutdown ioctl without a flush of its journal: from that instant nothing reaches the image any more,
 * whatever is in the page cache, and the next mount replays what the journal holds.
 */
import { until } from "./fault_seed.ts";
import { isMounted } from "./scratch_mount.ts";
import { requireCode, run } from "./zero_process.ts";

const here = new URL(".", import.meta.url).pathname;
const UMOUNT_TIMEOUT_MS = 30_000;

export class CutDisk {
  private constructor(readonly directory: string, readonly mountpoint: string) {}

  static async create(options: { mebibytes: number }): Promise<CutDisk> {
    const directory = await Deno.makeTempDir({ prefix: "zero-cut-" });
    const disk = new CutDisk(directory, `${directory}/disk`);
    try {
      await disk.#script(
        'truncate -s "$1M" image && mkfs.ext4 -q -m 0 -F image && mkdir disk && ' +
          "losetup --direct-io=on --find --show image > device",
        `${options.mebibytes}`,
      );
      await disk.attach();
      await disk.#script("rmdir disk/lost+found");
      return disk;
    } catch (error) {
      await disk[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #script(script: string, ...args: string[]): Promise<void> {
    const result = await run("sh", ["-c", `cd "$0" && ${script}`, this.directory, ...args]);
    requireCode(result, 0, script);
  }

  /** Mounts the image, as after a start of the machine. */
  attach(): Promise<void> {
    return this.#script('mount "$(cat device)" disk');
  }

  /** The power fails now. Nobody must use the disk any more before `reattach`. */
  async cut(): Promise<void> {
    const args = ["run", "-A", `${here}shut_down_ext4.ts`, this.mountpoint];
    requireCode(await run(Deno.execPath(), args), 0, "cutting the power");
  }

  /** The power is back. Whoever had files open on it must have ended. */
  async reattach(): Promise<void> {
    // The threads of a killed process may hold files open for a moment longer than its id.
    await until("nobody uses the disk without power", async () => {
      const { code } = await run("umount", [this.mountpoint], { timeoutMs: UMOUNT_TIMEOUT_MS });
      return code === 0 ? true : undefined;
    });
    await this.attach();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (isMounted(this.mountpoint)) await run("umount", ["-l", this.mountpoint]);
    await run("sh", [
      "-c",
      'test ! -s "$0/device" || losetup -d "$(cat "$0/device")"',
      this.directory,
    ]);
    await Deno.remove(this.directory, { recursive: true });
  }
}
