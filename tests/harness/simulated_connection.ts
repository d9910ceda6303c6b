/**
 * The transport of the simulated kernel: a device in memory, the requests that wait in it, the answers
 * that came or did not come yet. Strict where Linux is: an answer to nobody, a second answer or a
 * reply of the wrong size throws. `kernel_simulator.ts` gives it the requests.
 */
import type { Device } from "../../src/fuse/device.ts";
import type { SeenEntry } from "./kernel_replies.ts";
import { IoModes, KernelRefusal } from "./io_modes.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** 64-bit fields: a BigInt may lie beyond what numbers hold. */
export type Wide = number | bigint;

/** The answer to one request, now or later. */
export class Answer<T> {
  pending = true;
  /** Positive; 0 for success, and while pending. */
  errno = 0;
  /** Its place among all answers that came, whoever asked. */
  order = 0;
  static #settled = 0;
  #value: T | undefined;

  constructor(readonly unique: number, private readonly decode: (body: Uint8Array) => T) {}

  /** What a successful reply says. Throws where there is none. */
  get value(): T {
    if (this.pending) throw new Error(`request ${this.unique} is not answered yet`);
    if (this.errno !== 0) throw new Error(`request ${this.unique} failed with errno ${this.errno}`);
    return this.#value as T;
  }

  /** Called by the simulator. */
  settle(errno: number, body: Uint8Array): void {
    this.pending = false;
    this.order = ++Answer.#settled;
    this.errno = errno;
    if (errno === 0) {
      try {
        this.#value = this.decode(body);
      } catch (error) {
        if (!(error instanceof KernelRefusal)) throw error;
        this.errno = error.errno;
      }
    } else if (body.length > 0) throw new Error("an error reply must have no body");
  }
}

export interface SimulatorOptions {
  /** Protocol 7.`minor`; 45 unless set. */
  readonly minor?: number;
  readonly major?: number;
  /** INIT flags offered; what Linux 6.18 offers unless set. */
  readonly flags?: number;
  readonly flags2?: number;
}

const EAGAIN = 11;
const ENOENT = 2;

export class SimulatedConnection {
  /** Who asks from now on. */
  caller = { uid: 0, gid: 0, pid: 100 };
  /** Extra bytes behind the next requests (extensions), a multiple of 8. */
  extensions: Uint8Array = new Uint8Array(0);
  /** Lookups of each inode that were not forgotten, as the kernel counts them. */
  readonly lookups = new Map<number, number>();
  /** Attribute invalidations that were received: inode numbers. */
  readonly invalidated: number[] = [];
  /** Backing ids that are registered now, with their descriptor. */
  readonly backing = new Map<number, number>();
  readonly io = new IoModes();
  readonly device: Device;

  protected readonly minor: number;
  readonly #queue: Uint8Array[] = [];
  readonly #answers = new Map<number, Answer<unknown>>();
  #session: { serve(limit: number): string } | undefined;
  #unique = 0;
  #nextBacking = 1;
  #end = -EAGAIN;

  constructor(protected readonly options: SimulatorOptions = {}) {
    this.minor = options.minor ?? 45;
    this.device = {
      fd: -1,
      read: (into) => {
        const next = this.#queue.shift();
        if (next === undefined) return this.#end;
        into.set(next);
        return next.length;
      },
      write: (from, length) => this.#receive(from.slice(0, length)),
      openBacking: (fd) => {
        this.backing.set(this.#nextBacking, fd);
        this.io.register(this.#nextBacking, fd);
        return this.#nextBacking++;
      },
      closeBacking: (id) => {
        this.io.unregister(id);
        return this.backing.delete(id) ? 0 : -ENOENT;
      },
      close: () => {},
    };
  }

  attach(session: { serve(limit: number): string }): void {
    this.#session = session;
  }

  /** From now on the device reports `errno` (19: unmounted, 103: aborted) once the queue is empty. */
  end(errno: number): string {
    this.#end = -errno;
    return this.#session!.serve(1);
  }

  /** The answer to a request that was sent earlier, pending or not. */
  reply(unique: number): Answer<unknown> | undefined {
    return this.#answers.get(unique);
  }

  /** Any bytes at all, as the next thing the session reads. */
  rawBytes(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.serve();
  }

  protected look(entry: SeenEntry): void {
    if (entry.inode !== 0) this.lookups.set(entry.inode, (this.lookups.get(entry.inode) ?? 0) + 1);
  }

  protected unlook(inode: number, count: number): void {
    const left = (this.lookups.get(inode) ?? 0) - count;
    if (left <= 0) this.lookups.delete(inode);
    else this.lookups.set(inode, left);
  }

  protected ask<T>(
    opcode: number,
    request: { inode: number; body?: WireWriter; tail?: Uint8Array },
    decode: (body: Uint8Array) => T,
  ): Answer<T> {
    this.#unique += 2;
    const answer = new Answer(this.#unique, decode);
    this.#answers.set(answer.unique, answer as Answer<unknown>);
    this.queueRequest(opcode, answer.unique, request);
    this.serve();
    return answer;
  }

  /** An answer that nobody was asked for: the kernel knew it. */
  protected known<T>(value: T): Answer<T> {
    this.#unique += 2;
    const answer = new Answer(this.#unique, () => value);
    answer.settle(0, new Uint8Array(0));
    return answer;
  }

  /** Told later, when the session reads again: this may be called while it writes. */
  protected tellLater(opcode: number, request: { inode: number; body: WireWriter }): void {
    this.#unique += 2;
    this.#answers.set(this.#unique, new Answer(this.#unique, () => undefined));
    this.queueRequest(opcode, this.#unique, request);
  }

  protected tell(opcode: number, request: { inode: number; body: WireWriter }): void {
    this.#unique += 2;
    this.queueRequest(opcode, this.#unique, request);
    this.serve();
  }

  protected queueRequest(
    opcode: number,
    unique: number,
    request: { inode: number; body?: WireWriter; tail?: Uint8Array },
  ): void {
    const body = request.body?.done() ?? new Uint8Array(0);
    const tail = request.tail ?? new Uint8Array(0);
    const { uid, gid, pid } = this.caller;
    const length = 40 + body.length + tail.length + this.extensions.length;
    const header = new WireWriter().u32(length).u32(opcode).u64(unique).u64(request.inode);
    header.u32(uid).u32(gid).u32(pid).u16(this.extensions.length / 8).u16(0);
    const bytes = new Uint8Array(length);
    bytes.set(header.done());
    bytes.set(body, 40);
    bytes.set(tail, 40 + body.length);
    bytes.set(this.extensions, 40 + body.length + tail.length);
    this.#queue.push(bytes);
  }

  protected serve(): void {
    if (this.#session === undefined) throw new Error("attach a session first");
    while (this.#session.serve(16) === "more");
  }

  #receive(bytes: Uint8Array): number {
    const wire = new WireReader(bytes);
    const [length, error, unique] = [wire.u32(), wire.i32(), wire.number()];
    if (length !== bytes.length) throw new Error(`reply of ${bytes.length} says ${length} bytes`);
    if (unique === 0) {
      const [inode, offset] = [wire.number(), wire.i64()];
      if (error !== 2 || offset !== -1n || length !== 40) throw new Error("not an invalidation");
      this.invalidated.push(inode);
      return length;
    }
    if (error > 0 || error <= -512) throw new Error(`${error} is not an error Linux takes`);
    const answer = this.#answers.get(unique);
    if (answer === undefined) throw new Error(`reply to ${unique}, which was never asked`);
    if (!answer.pending) throw new Error(`second reply to ${unique}`);
    answer.settle(Math.abs(error), wire.bytes(wire.left));
    return length;
  }
}
