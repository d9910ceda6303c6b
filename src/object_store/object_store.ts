/**
 * The port to a bucket. Implementations: a directory, S3/B2, memory. Wrappers around it (each itself
 * an object store): retrying, limited, metered. All run one contract suite
 * (`tests/contracts/object_store_contract.ts`).
 *
 * Every call may be aborted with its signal and then rejects with the signal's reason. Every other
 * failure is a `StoreError`. No key is ever put twice with other bytes (law, docs/FORMAT.md), so
 * callers never depend on what an overwrite does.
 */

/** What went wrong, as far as a caller must decide differently. */
export type StoreErrorKind =
  /** The store says, for this very key (and version), that there is no such object. */
  | "missing"
  /** 401, 403, revoked key, caps: nothing is known about the object. Somebody must act. */
  | "denied"
  /** The bucket itself does not exist. Never means that an object is missing. */
  | "no-bucket"
  /** Throttled, 5xx, timeout, reset, DNS: try later. The call may have taken effect. */
  | "unavailable"
  /** The answer was not what was asked for: wrong length, range or checksum. Try again. */
  | "corrupt"
  /** The store understood and refused: the request itself is wrong. Retrying cannot help. */
  | "invalid";

/** A failed store call. The message names operation and key, never a credential. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly kind: StoreErrorKind;
  /** The store's own pause in milliseconds (Retry-After), if it gave one. */
  readonly retryAfterMs: number | undefined;
  /** HTTP status, where there was one. */
  readonly status: number | undefined;
  /** The store's own code, such as `SlowDown`, where there was one. */
  readonly code: string | undefined;
  constructor(
    kind: StoreErrorKind,
    message: string,
    options: { retryAfterMs?: number; status?: number; code?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
    this.status = options.status;
    this.code = options.code;
  }
  /** Whether the same call may succeed later without anybody acting. */
  get retryable(): boolean {
    return this.kind === "unavailable" || this.kind === "corrupt";
  }
}

export interface CallOptions {
  signal?: AbortSignal;
}

/** An object, as HEAD and LIST tell it. */
export interface ObjectInfo {
  key: string;
  /** Bytes. */
  length: number;
  /** Identifies these bytes under this key for ever; stores without versions answer "null". */
  versionId: string;
  /** The store's clock, milliseconds since 1970. */
  modifiedMs: number;
}

export interface PutResult {
  versionId: string;
  /** The store's clock when it answered (Date header), milliseconds since 1970; undefined where unknown. */
  storeTimeMs: number | undefined;
}

export interface ObjectStore {
  /** For people: `b2://bucket/prefix`, without credentials. */
  readonly description: string;
  /**
   * True: a listing that begins after a put was confirmed shows that object, whoever put it and
   * whoever asks. Otherwise a listing may be late by seconds.
   */
  readonly listsAtOnce?: boolean;
  /**
   * Stores all of `body` under `key`, and returns when the store has confirmed it, with a checksum
   * that the store verified. After an `unavailable` the object may exist or not.
   */
  put(key: string, body: Uint8Array, options?: CallOptions): Promise<PutResult>;
  /**
   * Bytes [offset, offset + length) of one version. Exactly `length` bytes, or an error ("corrupt"
   * when the object is shorter). Without `range`, the whole object.
   */
  get(
    key: string,
    options?: CallOptions & { versionId?: string; range?: { offset: number; length: number } },
  ): Promise<Uint8Array<ArrayBuffer>>;
  head(key: string, options?: CallOptions & { versionId?: string }): Promise<ObjectInfo>;
  /** Current objects whose key begins with `prefix`, in key order, page by page as they are consumed. */
  list(prefix: string, options?: CallOptions & { startAfter?: string }): AsyncIterable<ObjectInfo>;
  /**
   * Every stored version below `prefix`, hidden ones and hide markers included, in key order.
   * `marker` is true for a hide marker (length 0). Versions of one key: newest first.
   */
  listVersions(
    prefix: string,
    options?: CallOptions & { startAfter?: string },
  ): AsyncIterable<ObjectInfo & { marker: boolean; latest: boolean }>;
  /** Removes one version for ever. Succeeds when it is already gone. */
  delete(key: string, versionId: string, options?: CallOptions): Promise<void>;
  /** Lets go of connections. Calls under way are aborted. */
  close(): void;
}
