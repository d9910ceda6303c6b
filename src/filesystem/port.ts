/** The engine's end of the conversation with the filesystem isolate. Tests pass fakes here. */
import type { Commands, FilesystemEvent, FilesystemSettings } from "./protocol.ts";

export interface FilesystemPort {
  /**
   * Asks and resolves with the answer. Byte arrays in the argument stay the caller's, and must not
   * change before the answer is there. Rejects with UserError or FsError as thrown there, and with
   * InvariantError("filesystem isolate ended") when the isolate is gone.
   */
  call<K extends keyof Commands>(
    command: K,
    argument: Commands[K][0],
  ): Promise<Commands[K][1]>;
  /** Calls `listener` for every event from now on, in order. Returns how to stop. */
  subscribe(listener: (event: FilesystemEvent) => void): () => void;
}

/** What `startFilesystemIsolate` (isolate_client.ts) needs. */
export interface FilesystemIsolateOptions {
  /** A mounted, non-blocking /dev/fuse descriptor; the isolate owns it from then on. */
  device: number;
  /** Holds metadata.db, history.db and content/; locked by the caller, database created. */
  cacheDirectory: string;
  settings: FilesystemSettings;
  /** Starts read-only for this reason (an old copy of the cache, offline …). */
  readOnly?: string;
  /** Another mount's metadata is followed: what is shown changes by the command `follow` alone. */
  following?: boolean;
  /** Where accesses are recorded (trace_file.ts); undefined: nowhere. */
  tracePath?: string;
  /** Whether the kernel may be offered passthrough. */
  passthrough: boolean;
}

/** A running filesystem isolate. `ended` resolves when its loop has ended and its databases are closed. */
export interface FilesystemIsolate extends FilesystemPort {
  readonly ended: Promise<{ how: "unmounted" | "aborted" | "stopped" | "crashed"; error?: string }>;
}
