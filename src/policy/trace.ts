/**
 * An access trace in memory: for replays, and for a copy that can be shared. Uses the layout of
 * src/domain/access_trace.ts.
 */
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  placeOf,
  readRecord,
  setNumber,
  traceBytes,
  type TraceEvent,
  writeRecord,
} from "../domain/access_trace.ts";
import { invariant } from "../domain/errors.ts";

export { RECORD_BYTES, type TraceEvent, TraceKind } from "../domain/access_trace.ts";

/** Accesses in some order: an array, or records that stay packed until somebody asks for one. */
export interface TraceEvents extends Iterable<TraceEvent> {
  readonly length: number;
  /** Undefined: there are not so many. */
  at(index: number): TraceEvent | undefined;
}

/** Records of a ring, which must not be appended to meanwhile. */
class PackedEvents implements TraceEvents {
  readonly #view: DataView;
  /** Where the records stand. */
  readonly #places: Uint32Array;

  constructor(view: DataView, places: Uint32Array) {
    this.#view = view;
    this.#places = places;
  }

  get length(): number {
    return this.#places.length;
  }

  at(index: number): TraceEvent | undefined {
    const place = this.#places.at(index);
    return place === undefined ? undefined : readRecord(this.#view, place);
  }

  *[Symbol.iterator](): Generator<TraceEvent> {
    for (const place of this.#places) yield readRecord(this.#view, place)!;
  }
}

export class TraceRing {
  /** Header and records; changes with each record. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly capacity: number;
  readonly #view: DataView;
  #written: number;

  private constructor(bytes: Uint8Array<ArrayBuffer>) {
    const { capacity, written } = decodeHeader(bytes.subarray(0, HEADER_BYTES), bytes.length);
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.capacity = capacity;
    this.#written = written;
  }

  /** An empty ring for so many records. */
  static create(capacity: number): TraceRing {
    invariant(Number.isSafeInteger(capacity) && capacity > 0, `a ring of ${capacity} records`);
    const bytes = new Uint8Array(traceBytes(capacity));
    bytes.set(encodeHeader({ capacity, written: 0 }));
    return new TraceRing(bytes);
  }

  /** A ring from its bytes, which it uses from then on. Throws UserError for anything else. */
  static open(bytes: Uint8Array<ArrayBuffer>): TraceRing {
    return new TraceRing(bytes);
  }

  /** Records that the ring holds. */
  get length(): number {
    return Math.min(this.#written, this.capacity);
  }
  /** Records ever written. */
  get written(): number {
    return this.#written;
  }

  /** Adds a record; returns where in `bytes` it stands. The count in the header follows it. */
  append(event: TraceEvent): number {
    const at = placeOf(this.#written, this.capacity);
    writeRecord(this.#view, at, event);
    this.#written++;
    setNumber(this.#view, 24, this.#written);
    return at;
  }

  /** The records in the order in which they were written, oldest first. Those not known are left out. */
  *records(): Generator<TraceEvent> {
    for (let n = this.#written - this.length; n < this.#written; n++) {
      const event = readRecord(this.#view, placeOf(n, this.capacity));
      if (event !== undefined) yield event;
    }
  }

  /**
   * The records in the order of time. That is nearly the order in which they were written: changes are
   * written down a little later than uses, clocks are set, and a power cut may have left older records
   * where newer ones were on their way to the disk.
   */
  inOrderOfTime(): TraceEvents {
    const places = new Uint32Array(this.length);
    const times = new Float64Array(this.length);
    let known = 0;
    for (let n = this.#written - this.length; n < this.#written; n++) {
      const place = placeOf(n, this.capacity);
      const event = readRecord(this.#view, place);
      if (event === undefined) continue;
      times[known] = event.timeMs;
      places[known++] = place;
    }
    const order = Uint32Array.from({ length: known }, (_, index) => index);
    order.sort((a, b) => times[a] - times[b]);
    return new PackedEvents(this.#view, order.map((index) => places[index]));
  }
}
