/**
 * What /proc says of the thread behind a request, for the few decisions that the kernel leaves to the
 * file system and for which uid and gid are not enough. Remembers nothing.
 */
import type { RequestHeader } from "../fuse/operations.ts";

const CAP_FSETID = 1n << 4n;

/** A thread of another pid namespace, or one that has ended, has no status. */
function status(pid: number): string | undefined {
  if (pid === 0) return undefined;
  try {
    return Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    return undefined;
  }
}

/**
 * Whether the caller may leave (or set) the setgid bit of an inode of `group`: it belongs to the group,
 * or has CAP_FSETID. Without /proc, its gid and being root decide. Source: `in_group_or_capable` of
 * Linux' fs/inode.c.
 */
export function maySetGroupId(request: RequestHeader, group: number): boolean {
  if (request.gid === group) return true;
  const text = status(request.pid);
  if (text === undefined) return request.uid === 0;
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)?.[1] ?? "";
  if (field("Groups").split(/\s+/).includes(String(group))) return true;
  return (BigInt(`0x${field("CapEff") || "0"}`) & CAP_FSETID) !== 0n;
}
