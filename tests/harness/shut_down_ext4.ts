/** A program that shuts an ext4 file system down without flushing its journal: `shut_down_ext4.ts DIRECTORY`. */
import * as libc from "../../src/runtime/libc.ts";

/** _IOR('X', 125, __u32) */
const EXT4_IOC_SHUTDOWN = 0x8004587d;
/** Neither data nor journal is written any more. */
const NO_LOG_FLUSH = 2;

const fd = libc.open(Deno.args[0], libc.O.RDONLY | libc.O.DIRECTORY);
if (fd < 0) throw new Error(`${Deno.args[0]} cannot be opened: errno ${-fd}`);
const result = libc.ioctl(fd, EXT4_IOC_SHUTDOWN, new Uint8Array([NO_LOG_FLUSH, 0, 0, 0]));
if (result < 0) throw new Error(`the shutdown of ${Deno.args[0]} failed: errno ${-result}`);
