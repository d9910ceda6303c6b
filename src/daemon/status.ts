/** Puts `zero status` together from what filesystem isolate and engine report. Pure arithmetic on plain data. */
import type { FilesystemReport } from "../filesystem/protocol.ts";
import type { ByteClasses } from "./control_protocol.ts";

/** Each byte in the first class that fits; they add up to `total`. */
export function byteClasses(report: FilesystemReport): ByteClasses {
  const { space } = report;
  // Bytes of the local disk that hold content now.
  const resident = Math.max(0, space.used - space.reserved);
  const kept = report.keptBytes ?? 0;
  const local = Math.min(kept, resident);
  const dirty = Math.min(space.local - kept, resident - local);
  const pinned = Math.min(report.pinnedBytes, resident - local - dirty);
  const open = Math.min(report.openBytes, resident - local - dirty - pinned);
  const classes = {
    pinned,
    local,
    dirty,
    open,
    reserved: space.reserved,
    clean: resident - local - dirty - pinned - open,
    evicted: Math.max(0, space.allocated - resident),
  };
  const total = Object.values(classes).reduce((sum, bytes) => sum + bytes, 0);
  return { ...classes, total };
}
