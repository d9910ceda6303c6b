/** What starts the filesystem isolate, and the envelopes of commands, answers and events. Plain data only. */
import type { FilesystemIsolateOptions } from "./port.ts";
import type { Commands, FilesystemEvent } from "./protocol.ts";

export interface IsolateStart {
  options: FilesystemIsolateOptions;
  port: MessagePort;
  disks: { sync: MessagePort; slow: MessagePort };
  /** eventfd that is signalled after each message to the isolate. */
  wake: number;
}

/**
 * A command on its way in. Its argument is serialized (node:v8) and lent by address until it is
 * answered: see src/runtime/shared_bytes.ts. `bytes` is the one large field (of `install`), beside it.
 */
export interface CommandMessage {
  id: number;
  command: keyof Commands;
  address: number;
  length: number;
  bytes?: { address: number; length: number };
}

/** An error as it crosses the channel. */
export interface PlainError {
  name: string;
  message: string;
  errno?: number;
  hint?: string;
  exitCode?: number;
}

export type IsolateMessage =
  | { kind: "answer"; id: number; result: unknown }
  | { kind: "error"; id: number; error: PlainError }
  | { kind: "event"; event: FilesystemEvent };
