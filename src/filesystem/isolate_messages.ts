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
 * Commands on their way in: all that were asked in one turn of the engine, an array of PlainCommand,
 * serialized (node:v8) and lent by address until the last of them is answered: see
 * src/runtime/shared_bytes.ts.
 */
export interface CommandMessage {
  address: number;
  length: number;
}

/** `bytes` is the one large field of an argument (of `install`): beside it, by address. */
export interface PlainCommand {
  id: number;
  command: keyof Commands;
  argument: object;
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

/** What goes out together, in order. */
export type IsolateMessages = IsolateMessage[];

export type IsolateMessage =
  | { kind: "answer"; id: number; result: unknown }
  | { kind: "error"; id: number; error: PlainError }
  | { kind: "event"; event: FilesystemEvent };
