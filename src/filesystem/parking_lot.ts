/**
 * Requests that wait: for a recall, for space, for a sync, for slices of work. Owns their deadlines
 * and what a signal does to them. A request that parks again for the same reason keeps its deadline.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import { keepData, PARKED } from "../fuse/operations.ts";
import type { Parked, RequestHeader, SessionPort, WriteRequest } from "../fuse/operations.ts";
import type { FileState } from "./file_state.ts";

export type ParkReason = "recall" | "space" | "sync" | "slices";

export interface Parking {
  readonly request: RequestHeader;
  readonly operation: string;
  readonly reason: ParkReason;
  readonly file: FileState | undefined;
  /** Chunks it waits for (recall). */
  readonly indices: readonly number[];
  /** Chunks it will use when it runs: never spilled meanwhile. */
  readonly uses: readonly number[];
  /** Space it needs, bytes. */
  readonly bytes: number;
  readonly sinceMs: number;
  /** Monotonic; Infinity: as long as it takes. */
  readonly deadlineMs: number;
  /** Errno once the deadline has passed. */
  readonly lateErrno: number;
}

/** Bytes of parked writes that are kept in memory at most. */
const PARKED_WRITE_BYTES = 256 * 1024 * 1024;

export class ParkingLot {
  readonly #session: () => SessionPort;
  readonly #nowMs: () => number;
  readonly #parked = new Map<number, Parking>();
  /** Since when and until when a request waits for each reason, however often it ran meanwhile. */
  readonly #waits = new WeakMap<
    RequestHeader,
    Map<ParkReason, { sinceMs: number; deadlineMs: number }>
  >();
  /** Requests whose program was signalled while they waited for what nothing ends early. */
  readonly #interrupted = new WeakSet<RequestHeader>();
  #writeBytes = 0;
  #syncing = 0;
  /** Called when a parked request leaves without having been served. */
  onAbandoned: (parking: Parking) => void = () => {};

  constructor(session: () => SessionPort, nowMs: () => number) {
    this.#session = session;
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#parked.size;
  }

  /** Somebody waits for more than a sync that is under way: for space, or for work that frees some. */
  get wantsWork(): boolean {
    return this.#parked.size > this.#syncing;
  }

  values(): Iterable<Parking> {
    return this.#parked.values();
  }

  /** Keeps the request. Returns PARKED, for the operation to return. */
  park(
    request: RequestHeader,
    options: {
      operation: string;
      reason: ParkReason;
      file?: FileState;
      indices?: readonly number[];
      uses?: readonly number[];
      bytes?: number;
      timeoutMs?: number;
      lateErrno?: number;
    },
  ): Parked {
    if (options.reason !== "sync" && this.#interrupted.has(request)) {
      this.#interrupted.delete(request);
      if (fatalSignalPending(request.pid)) throw new FsError(Errno.EINTR);
    }
    const nowMs = this.#nowMs();
    let waits = this.#waits.get(request);
    const first = waits === undefined;
    if (waits === undefined) this.#waits.set(request, waits = new Map());
    const wait = waits.get(options.reason) ??
      { sinceMs: nowMs, deadlineMs: nowMs + (options.timeoutMs ?? Infinity) };
    waits.set(options.reason, wait);
    const parking: Parking = {
      request,
      operation: options.operation,
      reason: options.reason,
      file: options.file,
      indices: options.indices ?? [],
      uses: options.uses ?? options.indices ?? [],
      bytes: options.bytes ?? 0,
      ...wait,
      lateErrno: options.lateErrno ?? Errno.EIO,
    };
    if ("data" in request && first) keepData(request as WriteRequest);
    this.#writeBytes += dataLength(request);
    if (parking.reason === "sync") this.#syncing++;
    this.#parked.set(request.unique, parking);
    parking.file?.parked.add(parking);
    return PARKED;
  }

  /** Whether another write of `bytes` may be kept in memory. */
  admitsWrite(bytes: number): boolean {
    return this.#writeBytes + bytes <= PARKED_WRITE_BYTES;
  }

  #leave(parking: Parking): boolean {
    if (this.#parked.get(parking.request.unique) !== parking) return false;
    this.#parked.delete(parking.request.unique);
    if (parking.reason === "sync") this.#syncing--;
    parking.file?.parked.delete(parking);
    this.#writeBytes -= dataLength(parking.request);
    return true;
  }

  /** Runs the request again. */
  resume(parking: Parking): void {
    if (!this.#leave(parking)) return;
    this.#session().resume(parking.request);
  }

  /** The program was signalled: looked at again should the request wait for longer things. */
  noteInterrupt(parking: Parking): void {
    this.#interrupted.add(parking.request);
  }

  fail(parking: Parking, errno: number): void {
    if (!this.#leave(parking)) return;
    this.onAbandoned(parking);
    this.#session().fail(parking.request, errno);
  }

  /** Resumes those on a file that wait for one of these reasons (and for `index`, where given). */
  wake(file: FileState, reason: ParkReason, index?: number): void {
    for (const parking of [...file.parked]) {
      if (parking.reason !== reason) continue;
      if (index !== undefined && !parking.indices.includes(index)) continue;
      this.resume(parking);
    }
  }

  /** The parked request with this id; undefined where it is not parked here. */
  find(unique: number): Parking | undefined {
    return this.#parked.get(unique);
  }

  /** Fails what has waited too long. Returns milliseconds until the next deadline, if there is one. */
  expire(): number | undefined {
    const now = this.#nowMs();
    let next = Infinity;
    for (const parking of [...this.#parked.values()]) {
      if (parking.deadlineMs <= now) this.fail(parking, parking.lateErrno);
      else next = Math.min(next, parking.deadlineMs);
    }
    return next === Infinity ? undefined : next - now;
  }

  failAll(errno: number): void {
    for (const parking of [...this.#parked.values()]) this.fail(parking, errno);
  }
}

function dataLength(request: RequestHeader): number {
  return "data" in request ? (request as WriteRequest).data.length : 0;
}

/** Signals that end a program unless it catches them: KILL, TERM, INT, HUP, QUIT. */
const FATAL = [9, 15, 2, 1, 3].reduce((mask, signal) => mask | (1n << BigInt(signal - 1)), 0n);

/**
 * Whether a fatal signal waits for thread `tid` (from /proc/TID/status): then its read may fail with
 * EINTR. Other signals, such as an interval timer's, must not make a read of a regular file fail.
 */
export function fatalSignalPending(tid: number): boolean {
  if (tid === 0) return false;
  let status: string;
  try {
    status = Deno.readTextFileSync(`/proc/${tid}/status`);
  } catch {
    return true; // The thread is gone: nobody waits for the answer any more.
  }
  const mask = (name: string) =>
    BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)`, "m").exec(status)?.[1] ?? "0"}`);
  const pending = (mask("SigPnd") | mask("ShdPnd")) & ~(mask("SigBlk") & ~(1n << 8n));
  return (pending & FATAL) !== 0n;
}
