/**
 * The end of a store: one signal per call that aborts with the caller's signal or when the store is
 * closed. Owns no connection.
 */

/** Hands out signals for calls, and aborts them all on `close`. */
export class Closing {
  #controller = new AbortController();

  /** What every call is rejected with after `close`. */
  static reason(): DOMException {
    return new DOMException("The store was closed", "AbortError");
  }

  /** Aborts when the store is closed. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Throws where the caller's signal or the store itself has ended. */
  check(signal?: AbortSignal): void {
    signal?.throwIfAborted();
    this.#controller.signal.throwIfAborted();
  }

  /** A signal that follows the caller's and the store's, whichever ends first. */
  merge(signal?: AbortSignal): AbortSignal {
    return signal === undefined
      ? this.#controller.signal
      : AbortSignal.any([signal, this.#controller.signal]);
  }

  close(): void {
    this.#controller.abort(Closing.reason());
  }
}
