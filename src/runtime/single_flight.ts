/**
 * At most one action per key at a time: whoever asks while it runs gets the same answer. The action
 * is aborted when everybody who asked has stopped waiting. Remembers nothing once it has ended.
 */

interface Flight<V> {
  result: Promise<V>;
  abort: AbortController;
  waiting: number;
}

export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Flight<V>>();

  /** Actions under way. */
  get size(): number {
    return this.#flights.size;
  }

  /**
   * Joins the action under way for `key`, or starts `action`. Rejects with the signal's reason when
   * that aborts first; the action's own signal aborts when nobody is left.
   */
  run(key: K, action: (signal: AbortSignal) => Promise<V>, signal?: AbortSignal): Promise<V> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    let flight = this.#flights.get(key);
    if (flight === undefined || flight.abort.signal.aborted) {
      flight = this.#start(key, action);
    }
    return this.#join(flight, signal);
  }

  #start(key: K, action: (signal: AbortSignal) => Promise<V>): Flight<V> {
    const abort = new AbortController();
    const flight: Flight<V> = {
      abort,
      waiting: 0,
      result: Promise.resolve().then(() => action(abort.signal)).finally(() => {
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
      }),
    };
    this.#flights.set(key, flight);
    return flight;
  }

  #join(flight: Flight<V>, signal: AbortSignal | undefined): Promise<V> {
    flight.waiting++;
    return new Promise<V>((resolve, reject) => {
      const leave = () => {
        reject(signal!.reason);
        if (--flight.waiting === 0) flight.abort.abort(signal!.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      flight.result.then(resolve, reject).finally(() =>
        signal?.removeEventListener("abort", leave)
      );
    });
  }
}
