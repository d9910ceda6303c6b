/** Takes little-endian numbers and bytes from a buffer; never beyond its end. Throws FormatError. */
import { FormatError, wellFormed } from "./format_error.ts";

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #at = 0;

  /** `what` names the bytes in messages. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(count: number): number {
    wellFormed(
      count <= this.left,
      () => `${this.#what} ends after ${this.#bytes.length} bytes, ${count - this.left} too early`,
    );
    const at = this.#at;
    this.#at += count;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** At most 2^53 - 1; more is no number that Zero writes. */
  u64(): number {
    const at = this.#take(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high >= 2 ** 21) {
      throw new FormatError("corrupt", `${this.#what} holds a number above 2^53`);
    }
    return high * 2 ** 32 + this.#view.getUint32(at, true);
  }

  i64(): number {
    const value = Number(this.#view.getBigInt64(this.#take(8), true));
    wellFormed(Number.isSafeInteger(value), () => `${this.#what} holds a number above 2^53`);
    return value;
  }

  /** `count` bytes, copied. */
  bytes(count: number): Uint8Array<ArrayBuffer> {
    const at = this.#take(count);
    return this.#bytes.slice(at, at + count);
  }

  /** `count` bytes where they lie. */
  view(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** Nothing may be left. */
  end(): void {
    wellFormed(this.left === 0, () => `${this.#what} has ${this.left} bytes too many`);
  }
}
