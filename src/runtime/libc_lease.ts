/**
 * File leases (fcntl F_SETLEASE), used as a question: who else has a file open? The same promises as
 * `libc.ts`, which re-exports this.
 */
import { Errno } from "../domain/errno.ts";
import { F } from "./libc_constants.ts";
import { checked, symbols } from "./libc_symbols.ts";

const F_SETSIG = 10;
/** Ignored unless somebody asks for it. The default, SIGIO, would end the process (measured). */
const SIGURG = 23;

/**
 * Whether a lease would be granted on the file that `fd` has open for reading: 0, and it has been
 * given back; or a negative errno. EAGAIN: for F.RDLCK, somebody has the file open for writing, or
 * mapped through a descriptor that could write; for F.WRLCK, somebody other than `fd` has it open or
 * mapped at all. EINVAL where the file system, or the machine, has no leases.
 */
export function probeLease(fd: number, type: typeof F.RDLCK | typeof F.WRLCK): number {
  // Whoever opens the file in this very moment waits, and the holder is signalled.
  const signal = checked(symbols.fcntl(fd, F_SETSIG, SIGURG));
  if (signal < 0) return signal;
  for (;;) {
    const granted = checked(symbols.fcntl(fd, F.SETLEASE, type));
    if (granted === -Errno.EINTR) continue;
    return granted < 0 ? granted : checked(symbols.fcntl(fd, F.SETLEASE, F.UNLCK));
  }
}
