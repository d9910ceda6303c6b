/**
 * Starts the filesystem isolate with its disk helpers, and speaks to it: the engine's FilesystemPort.
 * Owns the Workers. If any of them dies, `ended` says "crashed" and every call under way rejects.
 */
import { serialize } from "node:v8";
import { FsError, InvariantError, UserError } from "../domain/errors.ts";
import * as libc from "../runtime/libc.ts";
import { addressOf } from "../runtime/shared_bytes.ts";
import { workerUrl } from "../runtime/worker_url.ts";
import type { DiskHelperStart } from "./disk_messages.ts";
import type {
  CommandMessage,
  IsolateMessage,
  IsolateMessages,
  IsolateStart,
  PlainCommand,
  PlainError,
} from "./isolate_messages.ts";
import type { FilesystemIsolate, FilesystemIsolateOptions } from "./port.ts";
import type { Commands, FilesystemEvent } from "./protocol.ts";

interface Waiting {
  /** What is lent until the answer is there: the message, which others may share, and bytes. */
  lent: Uint8Array[];
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

type Ended = Awaited<FilesystemIsolate["ended"]>;

class IsolateClient implements FilesystemIsolate {
  readonly ended: Promise<Ended>;
  readonly #port: MessagePort;
  readonly #wake: number;
  readonly #workers: Worker[];
  readonly #waiting = new Map<number, Waiting>();
  /** Asked in this turn: they go together. */
  #asked: PlainCommand[] = [];
  readonly #listeners = new Set<(event: FilesystemEvent) => void>();
  /** Events that came before anybody listened. */
  #early: FilesystemEvent[] | undefined = [];
  #next = 1;
  #over: Ended | undefined;
  #resolveEnded: (ended: Ended) => void = () => {};

  constructor(parts: { port: MessagePort; wake: number; workers: Worker[] }) {
    this.#port = parts.port;
    this.#wake = parts.wake;
    this.#workers = parts.workers;
    this.ended = new Promise((resolve) => this.#resolveEnded = resolve);
    this.#port.onmessage = ({ data }: MessageEvent<IsolateMessages>) => {
      for (const message of data) this.#receive(message);
    };
    for (const worker of parts.workers) {
      worker.onerror = (event) => {
        event.preventDefault();
        this.#end({ how: "crashed", error: event.message });
      };
    }
  }

  call<K extends keyof Commands>(
    command: K,
    argument: Commands[K][0],
  ): Promise<Commands[K][1]> {
    if (this.#over !== undefined) return Promise.reject(gone());
    const id = this.#next++;
    const { bytes, rest } = lendable(argument);
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { lent: bytes === undefined ? [] : [bytes], resolve, reject });
    });
    this.#asked.push({
      id,
      command,
      argument: rest,
      ...(bytes === undefined
        ? {}
        : { bytes: { address: addressOf(bytes), length: bytes.length } }),
    });
    // A message costs each side tens of microseconds, whatever it holds.
    if (this.#asked.length === 1) queueMicrotask(() => this.#send(this.#asked.splice(0)));
    return answer as Promise<Commands[K][1]>;
  }

  #send(asked: PlainCommand[]): void {
    if (this.#over !== undefined) return;
    let small: Uint8Array<ArrayBuffer>;
    try {
      // A copy of its own: a Buffer may be a part of a pool that is written on.
      small = new Uint8Array(serialize(asked));
    } catch (error) {
      if (asked.length > 1) {
        for (const each of asked) this.#send([each]);
      } else {
        this.#take(asked[0].id)?.reject(error as Error);
      }
      return;
    }
    for (const { id } of asked) this.#waiting.get(id)?.lent.push(small);
    const message: CommandMessage = { address: addressOf(small), length: small.length };
    this.#port.postMessage(message);
    libc.signalEventfd(this.#wake);
  }

  subscribe(listener: (event: FilesystemEvent) => void): () => void {
    this.#listeners.add(listener);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const event of early) listener(event);
    return () => this.#listeners.delete(listener);
  }

  #receive(message: IsolateMessage): void {
    switch (message.kind) {
      case "answer":
        this.#take(message.id)?.resolve(message.result);
        return;
      case "error":
        this.#take(message.id)?.reject(revive(message.error));
        return;
      case "event":
        this.#event(message.event);
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #event(event: FilesystemEvent): void {
    if (this.#early !== undefined) this.#early.push(event);
    for (const listener of [...this.#listeners]) listener(event);
    if (event.event !== "ended") return;
    this.#end({ how: event.how, ...(event.error === undefined ? {} : { error: event.error }) });
  }

  #end(ended: Ended): void {
    if (this.#over !== undefined) return;
    this.#over = ended;
    for (const waiting of this.#waiting.values()) waiting.reject(gone());
    this.#waiting.clear();
    this.#port.close();
    for (const worker of this.#workers) worker.terminate();
    this.#resolveEnded(ended);
  }
}

/** A content's bytes go by address; a number of bytes, as `spill` has it, stays with the rest. */
function lendable(argument: object): { bytes?: Uint8Array<ArrayBuffer>; rest: object } {
  const { bytes, ...rest } = argument as { bytes?: unknown };
  if (!(bytes instanceof Uint8Array)) return { rest: argument };
  return { bytes: bytes as Uint8Array<ArrayBuffer>, rest };
}

const gone = () => new InvariantError("filesystem isolate ended");

function revive(error: PlainError): Error {
  switch (error.name) {
    case "FsError":
      return new FsError(error.errno!, error.message);
    case "UserError":
      return new UserError(error.message, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        ...(error.exitCode === undefined ? {} : { exitCode: error.exitCode }),
      });
    default:
      return new InvariantError(error.message);
  }
}

/** Starts serving `options.device`. The kernel's first requests may be answered before this resolves. */
export function startFilesystemIsolate(
  options: FilesystemIsolateOptions,
): Promise<FilesystemIsolate> {
  const wake = libc.eventfd();
  if (wake < 0) return Promise.reject(new FsError(-wake, "make an eventfd"));
  const main = new Worker(workerUrl("filesystem/isolate.ts"), {
    type: "module",
    name: "filesystem",
  });
  const syncs = new Worker(workerUrl("filesystem/disk_isolate.ts"), {
    type: "module",
    name: "disk",
  });
  const slow = new Worker(workerUrl("filesystem/disk_isolate.ts"), {
    type: "module",
    name: "disk",
  });
  const commands = new MessageChannel();
  const helpers = [syncs, slow].map((worker) => {
    const channel = new MessageChannel();
    const start: DiskHelperStart = {
      port: channel.port2,
      wake,
      cacheDirectory: options.cacheDirectory,
    };
    worker.postMessage(start, [channel.port2]);
    return channel.port1;
  });
  const client = new IsolateClient({ port: commands.port1, wake, workers: [main, syncs, slow] });
  const start: IsolateStart = {
    options,
    port: commands.port2,
    disks: { sync: helpers[0], slow: helpers[1] },
    wake,
  };
  main.postMessage(start, [commands.port2, helpers[0], helpers[1]]);
  return Promise.resolve(client);
}
