/**
 * Tells a store that is slow from one that is gone, for those who would wait for it: asks it something
 * small again and again. Owns that question and its timer, until it is stopped.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { DESCRIPTOR_KEY } from "../format/keys.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import { LIMITS } from "./limits.ts";

export interface StoreWatch {
  /** Aborts, with a UserError that says why, when the store has answered nothing for so long. */
  readonly signal: AbortSignal;
  stop(): void;
}

export function watchStore(
  store: ObjectStore,
  options: { clock: Clock; patienceMs: number; hint: string },
): StoreWatch {
  const stopping = new AbortController();
  const gone = new AbortController();
  const ask = async () => {
    const signal = AbortSignal.any([
      stopping.signal,
      AbortSignal.timeout(options.patienceMs),
    ]);
    // A listing has a lane of its own: uploads and recalls under way do not hold it up.
    for await (const _ of store.list(DESCRIPTOR_KEY, { signal })) break;
  };
  const watch = async () => {
    try {
      for (;;) {
        await ask();
        await sleep(options.clock, LIMITS.STORE_ALIVE_MS, stopping.signal);
      }
    } catch (error) {
      if (stopping.signal.aborted) return;
      const why = error instanceof DOMException ? "" : `: ${(error as Error).message}`;
      gone.abort(
        new UserError(`${store.description} does not answer${why}`, {
          hint: options.hint,
          exitCode: ExitCode.store,
          cause: error,
        }),
      );
    }
  };
  void watch();
  return { signal: gone.signal, stop: () => stopping.abort() };
}
