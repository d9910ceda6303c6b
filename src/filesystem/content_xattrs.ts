/** What attributes say of a file's content: `user.zero.state` and `user.zero.resident`. */
import type { Inode } from "./inode.ts";

/** The value as text; undefined: there is no such attribute. */
export function contentXattr(inode: Inode, name: string): string | undefined {
  switch (name) {
    case "user.zero.state":
      return stateOf(inode);
    case "user.zero.resident":
      return String(inode.resident);
    default:
      return undefined;
  }
}

function stateOf({ dirty, resident, allocated }: Inode): string {
  if (dirty) return "dirty";
  if (resident === allocated) return "clean";
  return resident === 0 ? "evicted" : "partial";
}
