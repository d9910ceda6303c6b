/**
 * The filesystem isolate's end of its conversation with the engine. What is posted goes out in one
 * message with whatever else the same turn brings, in order: a message costs each side tens of
 * microseconds, whatever it holds. Whoever owns the loop says when (`flush`), and never sleeps before.
 */
import { deserialize } from "node:v8";
import { receiveMessageOnPort } from "node:worker_threads";
import { bytesAt } from "../runtime/shared_bytes.ts";
import type {
  CommandMessage,
  IsolateMessage,
  IsolateMessages,
  PlainCommand,
} from "./isolate_messages.ts";
import type { Commands } from "./protocol.ts";

/** A command as it was asked. What its argument holds is the engine's again once it is answered. */
export interface ReceivedCommand {
  id: number;
  command: keyof Commands;
  argument: Commands[keyof Commands][0];
}

export class EngineChannel {
  readonly #port: MessagePort;
  /** Came in one message and are not taken yet, the next one last. */
  #received: PlainCommand[] = [];
  #posted: IsolateMessages = [];

  constructor(port: MessagePort) {
    this.#port = port;
  }

  /** The next command, in the order they were asked; undefined: none has come. */
  take(): ReceivedCommand | undefined {
    if (this.#received.length === 0) this.#receive();
    const next = this.#received.pop();
    if (next === undefined) return undefined;
    const { id, command, argument, bytes } = next;
    const whole = bytes === undefined
      ? argument
      : { ...argument, bytes: bytesAt(bytes.address, bytes.length) };
    return { id, command, argument: whole as ReceivedCommand["argument"] };
  }

  #receive(): void {
    const received = receiveMessageOnPort(this.#port as never) as
      | { message: CommandMessage }
      | undefined;
    if (received === undefined) return;
    const { address, length } = received.message;
    this.#received = (deserialize(bytesAt(address, length)) as PlainCommand[]).reverse();
  }

  /** More came together than were taken. */
  get more(): boolean {
    return this.#received.length > 0;
  }

  /** Goes out with the next `flush`. */
  post(message: IsolateMessage): void {
    this.#posted.push(message);
  }

  flush(): void {
    if (this.#posted.length === 0) return;
    this.#port.postMessage(this.#posted);
    this.#posted = [];
  }
}
