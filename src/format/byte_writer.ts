/** Appends little-endian numbers and bytes to a buffer that grows. Owns the buffer. */

const FIRST_BYTES = 64 * 1024;

export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** `expected`: bytes that will be written, as far as that is known. */
  constructor(expected: number = FIRST_BYTES) {
    this.#bytes = new Uint8Array(expected);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** Where `count` bytes go. Replaces the view where the buffer grows: take `#view` only afterwards. */
  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  u8(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  /** A whole number from 0 to 2^53 - 1. */
  u64(value: number): void {
    const at = this.#room(8);
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  /** A whole number between -(2^53 - 1) and 2^53 - 1, two's complement. */
  i64(value: number): void {
    const at = this.#room(8);
    this.#view.setBigInt64(at, BigInt(value), true);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Puts a number into a place that was written before. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** All that was written, in a buffer of its own. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}
