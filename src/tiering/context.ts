/** What every part of the engine works with; made once, in engine.ts. */
import type { FilesystemPort } from "../filesystem/port.ts";
import type { Secrets } from "../format/secrets.ts";
import type { ObjectStore } from "../object_store/object_store.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import type { ActivePolicy } from "./active_policy.ts";
import type { ComputePort } from "./compute_port.ts";
import type { EngineSettings } from "./settings.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
/** Fields are plain values; never a secret. */
export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;

export interface Tiering {
  readonly filesystem: FilesystemPort;
  readonly store: ObjectStore;
  readonly compute: ComputePort;
  readonly clock: Clock;
  readonly random: Random;
  /** Replaced as a whole when the configuration changes. */
  settings: EngineSettings;
  /** Likewise. */
  policy: ActivePolicy;
  readonly log: Log;
  /** File system id, 16 bytes. */
  readonly fileSystem: Uint8Array;
  /** Undefined where the file system is not encrypted. */
  readonly secrets: Secrets | undefined;
  /** Bytes. */
  readonly chunkSize: number;
  /** Aborts when the engine stops. */
  readonly signal: AbortSignal;
  /**
   * Told of an object that is not there: another mount has deleted it, and what is shown is behind. Where
   * it is undefined, the chunk is lost.
   */
  readonly onMissing?: (() => void) | undefined;
}

/** One line about an error, for logs and status. */
export function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Resolves or rejects with `promise`, or rejects with the signal's reason if that aborts first. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => {}); // nobody will look at it any more
    return Promise.reject(signal.reason);
  }
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
