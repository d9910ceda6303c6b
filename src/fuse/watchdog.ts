/**
 * The way out when a mount hangs. Owns no mount: it tells from outside whether a mount point answers,
 * and can end a connection that does not, which wakes everybody who waits for it with ENOTCONN. It
 * must run in another isolate than the one that serves the mount, since it is for when that one hangs.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { UserError } from "../domain/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import { mountAt } from "./mount_table.ts";

const CONTROL = "/sys/fs/fuse/connections";

/** The file that ends connection N when something is written to it. */
function abortFile(connection: number): string {
  return `${CONTROL}/${connection}/abort`;
}

/**
 * Ends a connection: its requests fail with ENOTCONN or ECONNABORTED, its server reads an error. Mounts
 * the control file system where that is needed and allowed. False where there is no such connection
 * (any more). Throws UserError where this process may not.
 */
export function abortConnection(connection: number): boolean {
  let fd = libc.open(abortFile(connection), libc.O.WRONLY);
  if (fd === -Errno.ENOENT && libc.processIds().effectiveUid === 0) {
    // EBUSY: it is mounted, so the connection is gone.
    const mounted = libc.mount(CONTROL, {
      source: "fusectl",
      type: "fusectl",
      flags: libc.MS.NOSUID | libc.MS.NODEV | libc.MS.NOEXEC,
      data: "",
    });
    if (mounted >= 0) fd = libc.open(abortFile(connection), libc.O.WRONLY);
  }
  if (fd === -Errno.ENOENT) return false;
  if (fd < 0) {
    throw new UserError(`cannot abort FUSE connection ${connection}: ${errnoName(-fd)}`, {
      hint: `as root: echo 1 > ${abortFile(connection)}`,
    });
  }
  const result = libc.write(fd, new Uint8Array([0x31]));
  libc.close(fd);
  return result >= 0;
}

/**
 * "absent": no such path; "stale": a mount whose server is gone; "wedged": no answer in time;
 * "answers": a stat came back, whatever is there.
 */
export type MountPointState = "absent" | "stale" | "wedged" | "answers";

/**
 * Looks at a mount point (absolute, links resolved) without getting stuck on it: the question is asked
 * on another thread, and left behind there where no answer comes (the process must then end by
 * `Deno.exit`). Not for the own mount of the isolate that serves it.
 */
export async function mountPointState(
  path: string,
  options: { timeoutMs: number; clock: Clock },
): Promise<MountPointState> {
  let cancel = () => {};
  const late = new Promise<MountPointState>((resolve) => {
    cancel = options.clock.after(options.timeoutMs, () => resolve("wedged"));
  });
  try {
    return await Promise.race([ask(path), late]);
  } finally {
    cancel();
  }
}

async function ask(path: string): Promise<MountPointState> {
  // Not stat: the kernel answers that from its cache for as long as the server allowed, even when the
  // server is long dead (measured).
  if (await libc.statvfsWorksInBackground(path)) return "answers";
  if (mountAt(path)?.type.startsWith("fuse")) return "stale";
  try {
    await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "absent";
    // Anything else is an answer too: whoever wants to use the path will be told.
  }
  return "answers";
}

export interface WatchdogOptions {
  readonly connection: number;
  readonly clock: Clock;
  /** How long the serving isolate may be silent before its mount is taken from it, in milliseconds. */
  readonly deadlineMs: number;
  /** Asks the serving isolate for a sign of life, which arrives as `alive()`. */
  readonly ask: () => void;
  /** The connection was ended (or not: false). Called once. */
  readonly onAborted: (ended: boolean) => void;
  /** What ends a connection; `abortConnection` unless a test says otherwise. */
  readonly abort?: (connection: number) => boolean;
}

/** Watches the isolate that serves a mount and ends the connection when it stays silent too long. */
export class Watchdog {
  #cancel: (() => void) | undefined;
  #silentSinceMs = 0;
  #lookedMs = 0;
  #waiting = false;

  constructor(private readonly options: WatchdogOptions) {}

  start(): void {
    this.#waiting = false;
    this.#schedule();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** A sign of life came. */
  alive(): void {
    this.#waiting = false;
  }

  #schedule(): void {
    // Four looks per deadline: it is kept to within a quarter, also while the machine is busy.
    this.#cancel = this.options.clock.after(this.options.deadlineMs / 4, () => this.#look());
  }

  #look(): void {
    const { clock, deadlineMs, connection } = this.options;
    const now = clock.monotonicMs();
    // Where we ourselves were stopped (suspend, SIGSTOP), the silence proves nothing.
    const stopped = this.#waiting && now - this.#lookedMs > deadlineMs / 2;
    this.#lookedMs = now;
    if (!this.#waiting || stopped) {
      this.#waiting = true;
      this.#silentSinceMs = now;
      this.options.ask();
    } else if (now - this.#silentSinceMs >= deadlineMs) {
      this.#cancel = undefined;
      this.options.onAborted((this.options.abort ?? abortConnection)(connection));
      return;
    }
    this.#schedule();
  }
}
