/**
 * Writers that wait at the hard mark (law 9): slowed for a bounded time, then ENOSPC; never EIO,
 * never for ever. Owns the order in which they go on, and tells the engine how much must go.
 */
import { Errno } from "../domain/errno.ts";
import type { Parked, RequestHeader } from "../fuse/operations.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Parking } from "./parking_lot.ts";
import type { Recalls } from "./recalls.ts";

/** How often the engine is told again while somebody waits, milliseconds. */
const REMIND_MS = 250;

export class SpaceQueue {
  readonly #core: Core;
  #recalls: Recalls | undefined;
  #reminder: (() => void) | undefined;
  #above = false;

  constructor(core: Core) {
    this.#core = core;
  }

  /** The recalls that wait for space too (each needs the other). */
  attach(recalls: Recalls): void {
    this.#recalls = recalls;
    recalls.onPressure = () => this.press();
  }

  park(
    request: RequestHeader,
    options: { file: FileState; operation: string; bytes: number; uses: readonly number[] },
  ): Parked {
    const core = this.#core;
    const parked: Parked = core.lot.park(request, {
      operation: options.operation,
      reason: "space",
      file: options.file,
      bytes: options.bytes,
      uses: options.uses,
      timeoutMs: core.settings.spaceTimeoutMs,
      lateErrno: Errno.ENOSPC,
    });
    this.press();
    return parked;
  }

  waiting(): Parking[] {
    return [...this.#core.lot.values()].filter((parking) => parking.reason === "space");
  }

  /** Tells the engine that space is wanted, now and again as long as it is. */
  press(): void {
    const core = this.#core;
    const waiting = this.waiting();
    const wanted = waiting.reduce((sum, parking) => sum + parking.bytes, 0) +
      (this.#recalls?.hungryBytes ?? 0);
    const hungry = this.#recalls?.hungry ?? 0;
    const needed = Math.max(0, core.space.excess("low"), core.space.shortBy(wanted));
    core.emit({
      event: "pressure",
      used: core.space.used,
      needed,
      waiting: waiting.length + hungry,
    });
    if (waiting.length + hungry === 0) return;
    this.#reminder ??= core.timers.after(REMIND_MS, () => {
      this.#reminder = undefined;
      core.space.forgetReading();
      this.relieve();
      if (this.waiting().length > 0 || (this.#recalls?.hungry ?? 0) > 0) this.press();
    });
  }

  /** Space has been freed, or may have been: whoever fits goes on, in the order in which they came. */
  relieve(): void {
    // The next crossing is one, although nobody may look before it.
    if (this.#core.space.excess("high") <= 0) this.#above = false;
    this.#recalls?.feed();
    const waiting = this.waiting().sort((a, b) => a.sinceMs - b.sinceMs);
    for (const parking of waiting) {
      if (!this.#core.space.admits(parking.bytes)) return;
      this.#core.lot.resume(parking);
    }
  }

  /** Called after space was taken: tells the engine once when the high mark is crossed. */
  observe(): void {
    const above = this.#core.space.excess("high") > 0;
    if (above && !this.#above) this.press();
    this.#above = above;
  }
}
