/** A store around a store whose calls fail as a test says, and which notes every call. */
import { MemoryObjectStore } from "../../../src/object_store/memory_object_store.ts";
import {
  type ObjectStore,
  StoreError,
  type StoreErrorKind,
} from "../../../src/object_store/object_store.ts";
import type { Clock } from "../../../src/runtime/clock.ts";

export interface Step {
  kind: StoreErrorKind;
  status?: number;
  retryAfterMs?: number;
  /** The call takes effect before it fails. */
  applied?: boolean;
}

export class ScriptedStore implements ObjectStore {
  readonly description = "scripted:";
  readonly memory: MemoryObjectStore;
  /** Operation, key and time of each call. */
  calls: { operation: string; key: string; atMs: number }[] = [];
  /** What the next calls do; undefined means that the call works. */
  script: (Step | undefined)[] = [];
  /** What every call does once the script is over. */
  always: Step | undefined;
  #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.memory = new MemoryObjectStore({ clock });
  }

  count(operation: string): number {
    return this.calls.filter((call) => call.operation === operation).length;
  }

  put: ObjectStore["put"] = (key, body, options) =>
    this.#do("put", key, () => this.memory.put(key, body, options));
  get: ObjectStore["get"] = (key, options) =>
    this.#do("get", key, () => this.memory.get(key, options));
  head: ObjectStore["head"] = (key, options) =>
    this.#do("head", key, () => this.memory.head(key, options));
  delete: ObjectStore["delete"] = (key, versionId, options) =>
    this.#do("delete", key, () => this.memory.delete(key, versionId, options));

  list: ObjectStore["list"] = (prefix, options) =>
    this.#each(prefix, this.memory.list(prefix, options));
  listVersions: ObjectStore["listVersions"] = (prefix, options) =>
    this.#each(prefix, this.memory.listVersions(prefix, options));

  close(): void {
    this.memory.close();
  }

  async #do<T>(operation: string, key: string, action: () => Promise<T>): Promise<T> {
    this.calls.push({ operation, key, atMs: this.#clock.monotonicMs() });
    const step = this.script.length > 0 ? this.script.shift() : this.always;
    const result = step === undefined || step.applied ? await action() : undefined;
    if (step === undefined) return result as T;
    const { kind, status, retryAfterMs } = step;
    throw new StoreError(kind, `${operation} ${key}: scripted`, { status, retryAfterMs });
  }

  async *#each<T>(prefix: string, items: AsyncIterable<T>): AsyncIterable<T> {
    const iterator = items[Symbol.asyncIterator]();
    while (true) {
      const next = await this.#do("list", prefix, () => iterator.next());
      if (next.done) return;
      yield next.value;
    }
  }
}
