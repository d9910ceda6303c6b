/**
 * One call to the store: its signal, its deadline, and its error.
 *
 * A call ends by itself in every case: when the answer is complete, when nothing moved for the idle
 * timeout, when its deadline passes, when the caller's signal aborts or the store is closed.
 */
import type { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import type { Clock } from "../runtime/clock.ts";
import type { Closing } from "./closing.ts";
import { StoreError } from "./object_store.ts";
import type { Redaction } from "./redaction.ts";
import { callDeadlineMs, type StoreTimeouts } from "./s3_client.ts";
import { type Answer, isForeign, toStoreError } from "./s3_errors.ts";

/** Any command of the SDK, by what it answers. */
interface Command<Output> {
  middlewareStack: unknown;
  resolveMiddleware(
    stack: never,
    configuration: never,
    options: never,
  ): (input: never) => Promise<{ output: Output }>;
}

/** Sends one command within a call. An `expected` status answers with `error` instead of failing. */
export interface Send {
  <Output>(command: Command<Output>): Promise<{ output: Output; answer: Answer }>;
  <Output>(command: Command<Output>, options: { expected: number[] }): Promise<
    | { output: Output; answer: Answer; error?: undefined }
    | { output: undefined; answer: Answer; error: StoreError }
  >;
}

interface RawAnswer {
  statusCode: number;
  headers: Record<string, string>;
}

/** Moves the deadline of a call whose bytes were not known before its answer began. */
export type MoreTime = (bytes: number) => void;

export interface Call {
  operation: string;
  /** The key or prefix, in the caller's words. */
  subject: string;
  /** Bytes of the body in either direction, where known; they count for the deadline. */
  bytes?: number;
  signal?: AbortSignal;
}

export class S3Calls {
  constructor(
    private readonly parts: {
      client: S3Client;
      clock: Clock;
      closing: Closing;
      redaction: Redaction;
      region: string;
      timeouts: StoreTimeouts;
    },
  ) {}

  /**
   * Runs `action`, which sends one or more commands and reads their bodies, under one deadline.
   * Rejects with a StoreError, or with the reason of the caller's signal or of the closed store.
   */
  async run<T>(call: Call, action: (send: Send, moreTime: MoreTime) => Promise<T>): Promise<T> {
    const { clock, closing, redaction, region, timeouts } = this.parts;
    closing.check(call.signal);
    const ended = closing.merge(call.signal);
    const deadline = new AbortController();
    const signal = AbortSignal.any([ended, deadline.signal]);
    let deadlineMs = callDeadlineMs(timeouts, call.bytes ?? 0);
    let cancel = clock.after(deadlineMs, () => deadline.abort());
    const moreTime: MoreTime = (bytes) => {
      cancel();
      deadlineMs = callDeadlineMs(timeouts, bytes);
      cancel = clock.after(deadlineMs, () => deadline.abort());
    };
    const state: { answer: Answer | undefined } = { answer: undefined };
    try {
      const send = this.#sender(call, { signal, requestTimeout: deadlineMs, state });
      const result = await unlessAborted(action(send, moreTime), signal);
      ended.throwIfAborted();
      return result;
    } catch (error) {
      ended.throwIfAborted();
      if (deadline.signal.aborted) {
        throw new StoreError(
          "unavailable",
          `${call.operation} ${call.subject}: not done within ${deadlineMs} ms`,
        );
      }
      const { operation, subject } = call;
      throw toStoreError({ operation, subject, error, answer: state.answer, region }, redaction);
    } finally {
      cancel();
      deadline.abort();
    }
  }

  #sender(
    call: Call,
    context: {
      signal: AbortSignal;
      requestTimeout: number;
      state: { answer: Answer | undefined };
    },
  ): Send {
    const { client, redaction, region } = this.parts;
    const { signal, requestTimeout, state } = context;
    const send = async (command: Command<unknown>, options?: { expected: number[] }) => {
      state.answer = undefined;
      // Innermost, so that it sees the raw answer before anything reads or judges it. What it does
      // is the same for every command; the types name one each.
      const stack = command.middlewareStack as PutObjectCommand["middlewareStack"];
      stack.add((next) => async (args) => {
        const result = await next(args);
        const { statusCode, headers } = result.response as RawAnswer;
        state.answer = { status: statusCode, headers };
        return result;
      }, { step: "deserialize", priority: "low", name: "zeroSeesAnswer" });
      try {
        // deno-lint-ignore no-explicit-any -- the SDK's own type of a command cannot be named for all
        const output = await client.send(command as any, { abortSignal: signal, requestTimeout });
        const answer = state.answer!;
        if (isForeign(answer)) {
          (output as { Body?: { destroy(): void } }).Body?.destroy();
          throw new Error("a web page");
        }
        return { output, answer };
      } catch (error) {
        const answer = state.answer as Answer | undefined;
        if (answer === undefined || !options?.expected.includes(answer.status)) throw error;
        const { operation, subject } = call;
        const storeError = toStoreError({ operation, subject, error, answer, region }, redaction);
        return { output: undefined, answer, error: storeError };
      }
    };
    // deno-lint-ignore no-explicit-any -- one body for both overloads
    return send as any;
  }
}

/** Settles with `work`, or rejects at once when `signal` aborts, whatever the layers below make of it. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
