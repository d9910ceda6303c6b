/**
 * One connection to the kernel: takes requests from the device, has the file system answer them, sends
 * the replies. Owns the request and reply buffers and the requests that are parked. Promises that every
 * request is answered at most once and that nothing a request holds can make `serve` throw. Never
 * blocks, and knows nothing of what the file system is.
 */
import { Errno, errnoName } from "../domain/errno.ts";
import { FsError, invariant } from "../domain/errors.ts";
import {
  MAX_WRITE_BYTES,
  NOTIFY_INVAL_INODE,
  Opcode,
  opcodeName,
  OutHeader,
  OutSize,
  REQUEST_OVERHEAD_BYTES,
} from "./abi.ts";
import type { Device } from "./device.ts";
import { ReplyDirectoryFiller } from "./directory_filler.ts";
import { type Context, type Exchange, exchangeOf } from "./exchanges.ts";
import {
  negotiate,
  type Negotiated,
  supported,
  unsupportedError,
  type Wishes,
} from "./negotiation.ts";
import {
  type FilesystemOperations,
  keepData,
  PARKED,
  type RequestHeader,
  type SessionPort,
  type WriteRequest,
} from "./operations.ts";
import { ReplyEncoder, writeHeader } from "./reply_encoder.ts";
import { RequestDecoder } from "./request_decoder.ts";

export interface SessionOptions extends Wishes {
  /**
   * Told of everything that is not an expected failure: what was thrown, and the request's name. The
   * caller got EIO. Without it, defects are printed to standard error.
   */
  readonly onDefect?: (error: unknown, opcodeName: string) => void;
}

/** "drained": no request waits; "more": the limit was reached; the others: the connection is over. */
export type ServeResult = "drained" | "more" | "unmounted" | "aborted";

interface ParkedRequest {
  readonly request: RequestHeader;
  readonly opcode: number;
  readonly exchange: Exchange;
  /** To be run again when the request that is being answered is done. */
  resuming: boolean;
}

/** Largest errno that the kernel takes in a reply. */
const LARGEST_ERRNO = 511;

export class Session implements SessionPort {
  readonly #decoder = new RequestDecoder(new Uint8Array(MAX_WRITE_BYTES + REQUEST_OVERHEAD_BYTES));
  readonly #reply = new ReplyEncoder(MAX_WRITE_BYTES);
  readonly #filler = new ReplyDirectoryFiller(this.#reply);
  /** Errors and notifications have their own bytes: they may be sent while a reply is being built. */
  readonly #short = new Uint8Array(OutHeader.SIZE + OutSize.INVAL_INODE);
  readonly #shortView = new DataView(this.#short.buffer);
  readonly #parked = new Map<number, ParkedRequest>();
  readonly #toResume: ParkedRequest[] = [];
  readonly #onDefect: (error: unknown, opcodeName: string) => void;
  #context: Context | undefined;
  #answered = 0;
  #answering = false;
  #ended: "unmounted" | "aborted" | undefined;

  constructor(
    readonly device: Device,
    readonly operations: FilesystemOperations,
    readonly options: SessionOptions = {},
  ) {
    this.#onDefect = options.onDefect ??
      ((error, opcode) => console.error(`defect while answering ${opcode}:`, error));
  }

  /** What was agreed with the kernel; undefined before its INIT was answered. */
  get negotiated(): Negotiated | undefined {
    return this.#context?.negotiated;
  }

  get passthrough(): boolean {
    return this.#context?.negotiated.passthrough === true;
  }

  get mapsDirect(): boolean {
    return this.#context?.negotiated.directIoAllowMmap === true;
  }

  /** How many requests have come. */
  get answered(): number {
    return this.#answered;
  }

  get parked(): number {
    return this.#parked.size;
  }

  /**
   * Answers up to `limit` requests without blocking; the caller waits for `device.fd` to be readable.
   * Throws UserError where the kernel is too old, and nothing else.
   */
  serve(limit: number): ServeResult {
    for (let count = 0; count < limit; count++) {
      if (this.#ended !== undefined) return this.#ended;
      const length = this.device.read(this.#decoder.buffer);
      if (length >= 0) {
        this.#answered++;
        this.#handle(length);
        this.#resumeWaiting();
        continue;
      }
      switch (-length) {
        case Errno.EAGAIN:
          return "drained";
        case Errno.EINTR:
        case Errno.ENOENT: // The request was taken back before we could read it.
          continue;
        case Errno.ENODEV:
          return this.#end("unmounted");
        case Errno.ECONNABORTED:
          return this.#end("aborted");
        default:
          this.#onDefect(new Error(`cannot read /dev/fuse: ${errnoName(-length)}`), "read");
          return this.#end("aborted");
      }
    }
    return this.#ended ?? "more";
  }

  /** Inside an operation, the request runs again once that operation has been answered. */
  resume(request: RequestHeader): void {
    const parked = this.#parkedRecord(request, "resumed");
    invariant(!parked.resuming, () => `request ${request.unique} is resumed twice`);
    parked.resuming = true;
    this.#toResume.push(parked);
    if (!this.#answering) this.#resumeWaiting();
  }

  fail(request: RequestHeader, errno: number): void {
    this.#parkedRecord(request, "failed");
    this.#parked.delete(request.unique);
    this.#sendError(request.unique, errno);
  }

  invalidateAttributes(inode: number): void {
    const body = OutHeader.SIZE;
    const view = this.#shortView;
    const length = writeHeader(view, {
      length: OutSize.INVAL_INODE,
      error: NOTIFY_INVAL_INODE,
      unique: 0,
    });
    view.setBigUint64(body, BigInt(inode), true);
    view.setBigInt64(body + 8, -1n, true);
    view.setBigInt64(body + 16, 0n, true);
    this.#send(this.#short, length);
  }

  openBacking(fd: number): number {
    return this.device.openBacking(fd);
  }

  closeBacking(id: number): number {
    return this.device.closeBacking(id);
  }

  #handle(length: number): void {
    const decoder = this.#decoder;
    const begun = decoder.begin(length);
    const { opcode, unique } = decoder;
    if (begun !== "ok") {
      this.#onDefect(new Error(`${begun} request of ${length} bytes`), opcodeName(opcode));
      if (begun === "malformed" && answered(opcode)) this.#sendError(unique, Errno.EIO);
      return;
    }
    switch (opcode) {
      case Opcode.INIT:
        return this.#init();
      case Opcode.FORGET:
      case Opcode.BATCH_FORGET:
      case Opcode.INTERRUPT:
      case Opcode.NOTIFY_REPLY:
        return this.#hear(opcode);
      case Opcode.DESTROY:
        this.#reply.begin();
        this.#sendOk(unique);
        this.#end("unmounted");
        return;
    }
    const exchange = exchangeOf(opcode);
    if (this.#context === undefined) return this.#sendError(unique, Errno.EIO);
    if (exchange === undefined) return this.#sendError(unique, Errno.ENOSYS);
    if (this.#parked.has(unique)) {
      this.#onDefect(new Error(`request ${unique} came while parked`), opcodeName(opcode));
      return;
    }
    let request: RequestHeader;
    try {
      request = exchange.decode(decoder);
    } catch (error) {
      return this.#sendError(unique, this.#errnoOf(error, opcode));
    }
    this.#answer(request, { opcode, exchange, context: this.#context });
  }

  /** Runs a request for the first time or again. */
  #answer(
    request: RequestHeader,
    how: { opcode: number; exchange: Exchange; context: Context },
  ): void {
    const { opcode, exchange, context } = how;
    const { unique } = request;
    let failure = 0;
    let parked = false;
    this.#answering = true;
    this.#reply.begin();
    try {
      const answer = exchange.answer(request, context);
      if (typeof answer === "number") failure = answer;
      else parked = answer === PARKED;
    } catch (error) {
      failure = this.#errnoOf(error, opcode);
    } finally {
      this.#answering = false;
    }
    if (parked) {
      this.#keepBytes(request);
      this.#parked.set(unique, { request, opcode, exchange, resuming: false });
    } else if (failure !== 0) {
      this.#sendError(unique, failure);
    } else {
      this.#sendOk(unique);
    }
  }

  /** A WRITE's bytes lie in the request buffer, which the next request overwrites. */
  #keepBytes(request: RequestHeader): void {
    const write = request as Partial<WriteRequest> & RequestHeader;
    if (write.data?.buffer === this.#decoder.buffer.buffer) keepData(write as WriteRequest);
  }

  #resumeWaiting(): void {
    const context = this.#context;
    // What parks again and is resumed meanwhile comes in a later round of this loop.
    for (let next; (next = this.#toResume.shift()) !== undefined;) {
      const { request, opcode, exchange } = next;
      if (this.#parked.get(request.unique) !== next) continue; // Failed while it waited here.
      this.#parked.delete(request.unique);
      if (context !== undefined && this.#ended === undefined) {
        this.#answer(request, { opcode, exchange, context });
      }
    }
  }

  #init(): void {
    const { unique } = this.#decoder;
    let init;
    try {
      init = this.#decoder.init();
    } catch (error) {
      return this.#sendError(unique, this.#errnoOf(error, Opcode.INIT));
    }
    if (this.#context !== undefined) {
      this.#onDefect(new Error("a second INIT"), opcodeName(Opcode.INIT));
      return this.#sendError(unique, Errno.EIO);
    }
    if (!supported(init)) {
      this.#sendError(unique, Errno.EINVAL);
      this.#end("aborted");
      throw unsupportedError(init);
    }
    const negotiated = negotiate(init, this.options);
    // A newer major version is told ours and asks again.
    if (init.major === 7) {
      this.#decoder.extendedSetxattr = negotiated.extendedSetxattr;
      this.#context = {
        operations: this.operations,
        reply: this.#reply,
        filler: this.#filler,
        negotiated,
      };
    }
    this.#reply.begin();
    this.#reply.init(negotiated);
    this.#sendOk(unique);
  }

  /** Requests that want no answer. */
  #hear(opcode: number): void {
    const { operations } = this;
    this.#answering = true;
    try {
      switch (opcode) {
        case Opcode.FORGET:
          this.#decoder.forget((inode, count) => operations.forget(inode, count));
          break;
        case Opcode.BATCH_FORGET:
          this.#decoder.batchForget((inode, count) => operations.forget(inode, count));
          break;
        case Opcode.INTERRUPT: {
          const target = this.#decoder.interrupt();
          if (this.#parked.has(target)) operations.interrupt(target);
          break;
        }
      }
    } catch (error) {
      this.#onDefect(error, opcodeName(opcode));
    } finally {
      this.#answering = false;
    }
  }

  #end(how: "unmounted" | "aborted"): "unmounted" | "aborted" {
    this.#ended = how;
    try {
      this.operations.destroy();
    } catch (error) {
      this.#onDefect(error, opcodeName(Opcode.DESTROY));
    }
    return how;
  }

  #parkedRecord(request: RequestHeader, what: string): ParkedRequest {
    const parked = this.#parked.get(request.unique);
    invariant(
      parked !== undefined && parked.request === request,
      () => `request ${request.unique} is ${what}, but it is not parked`,
    );
    return parked;
  }

  #errnoOf(error: unknown, opcode: number): number {
    if (error instanceof FsError && error.errno > 0 && error.errno <= LARGEST_ERRNO) {
      return error.errno;
    }
    this.#onDefect(error, opcodeName(opcode));
    return Errno.EIO;
  }

  #sendOk(unique: number): void {
    this.#send(this.#reply.buffer, this.#reply.finish(unique));
  }

  #sendError(unique: number, errno: number): void {
    this.#send(this.#short, writeHeader(this.#shortView, { length: 0, error: -errno, unique }));
  }

  #send(bytes: Uint8Array, length: number): void {
    const result = this.device.write(bytes, length);
    if (result >= 0) return;
    switch (-result) {
      case Errno.ENOENT: // Nobody waits for this answer any more, or the kernel forgot the inode.
      case Errno.ENODEV:
      case Errno.ECONNABORTED: // The next read tells.
        return;
      default:
        this.#onDefect(new Error(`cannot write to /dev/fuse: ${errnoName(-result)}`), "write");
    }
  }
}

/** False for requests that the kernel wants no answer to. */
function answered(opcode: number): boolean {
  return opcode !== Opcode.FORGET && opcode !== Opcode.BATCH_FORGET &&
    opcode !== Opcode.INTERRUPT && opcode !== Opcode.NOTIFY_REPLY;
}
