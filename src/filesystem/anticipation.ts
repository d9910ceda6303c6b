/**
 * Waits for the next request awake, where that is likely to be worth it. A program that asks one thing
 * after another sends its next request some microseconds after an answer, and to go to sleep and be
 * woken costs both sides more than that (measured: half of what a lookup takes). Owns the guess: it is
 * given up where it was wrong a few times in a row, and tried again once in a while.
 */
import type { ServeResult } from "../fuse/session.ts";

/**
 * How often to look for a request before going to sleep: some 70 µs. The program has to be woken first,
 * and on an idle virtual machine that alone takes 25; so does waking this isolate, had it gone to sleep.
 */
const LOOKS = 80;
/** Requests after which whoever calls gets to look for other work. */
const IN_A_ROW = 32;
/** After so many guesses in vain in a row, only one in so many is made. */
const VAIN = 3;
const AGAIN = 64;

/** What takes requests; a part of `Session`. */
export interface Server {
  readonly answered: number;
  serve(limit: number): ServeResult;
}

export class Anticipation {
  readonly #alone: boolean;
  readonly #onBusy: () => void;
  #answered = 0;
  #vain = 0;
  #skipped = 0;

  /** `processors`: with one only, whoever waits awake keeps everybody else from asking. */
  constructor(options: { processors: number; onBusy: () => void }) {
    this.#alone = options.processors < 2;
    this.#onBusy = options.onBusy;
  }

  /** Answers what comes soon. True: there may be more; false: it is time to sleep. */
  serve(server: Server): boolean {
    const idle = server.answered === this.#answered;
    this.#answered = server.answered;
    if (idle || !this.#worthwhile()) return false;
    this.#onBusy();
    let came = 0;
    for (let look = 0; look < LOOKS && came < IN_A_ROW; look++) {
      if (server.serve(1) === "drained") continue;
      came++;
      look = 0;
    }
    this.#answered = server.answered;
    this.#vain = came > 0 ? 0 : this.#vain + 1;
    return came === IN_A_ROW;
  }

  #worthwhile(): boolean {
    if (this.#alone) return false;
    if (this.#vain < VAIN) return true;
    if (++this.#skipped < AGAIN) return false;
    this.#skipped = 0;
    return true;
  }
}
