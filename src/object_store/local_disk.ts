/** Which file systems show every program at once what another one has written. */
import { statfs } from "node:fs/promises";
import { codeOf } from "./directory_identity.ts";

/** `f_type` of statfs(2) for file systems on a disk, or in the memory, of this machine alone. */
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0xf2f52010, // F2FS
  0x2fc12fc1, // ZFS
  0xca451a4e, // bcachefs
  0x01021994, // tmpfs
]);

/**
 * Whether `path` lies on such a file system. Network and FUSE file systems cache names, and others
 * are not known: for these the answer is no, as it is where nothing is there (yet).
 */
export async function isLocalDisk(path: string): Promise<boolean> {
  try {
    return LOCAL.has((await statfs(path)).type);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}
