/** Little-endian bytes, written and read in order, as a C struct without holes lays them out. */

export class WireWriter {
  #bytes: number[] = [];

  u16(value: number): this {
    return this.#put(BigInt(value), 2);
  }

  u32(value: number): this {
    return this.#put(BigInt(value), 4);
  }

  /** Any 64-bit value; negative ones in two's complement. */
  u64(value: number | bigint): this {
    return this.#put(BigInt(value), 8);
  }

  zeros(count: number): this {
    for (let i = 0; i < count; i++) this.#bytes.push(0);
    return this;
  }

  bytes(value: Uint8Array): this {
    for (const byte of value) this.#bytes.push(byte);
    return this;
  }

  /** Text or bytes, and the NUL behind them. */
  text(value: string | Uint8Array): this {
    this.bytes(typeof value === "string" ? new TextEncoder().encode(value) : value);
    return this.zeros(1);
  }

  get length(): number {
    return this.#bytes.length;
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #put(value: bigint, size: number): this {
    let rest = BigInt.asUintN(size * 8, value);
    for (let i = 0; i < size; i++) {
      this.#bytes.push(Number(rest & 0xffn));
      rest >>= 8n;
    }
    return this;
  }
}

export class WireReader {
  #at = 0;

  constructor(private readonly data: Uint8Array) {}

  get left(): number {
    return this.data.length - this.#at;
  }

  u16(): number {
    return Number(this.#take(2));
  }

  u32(): number {
    return Number(this.#take(4));
  }

  i32(): number {
    return Number(BigInt.asIntN(32, this.#take(4)));
  }

  u64(): bigint {
    return this.#take(8);
  }

  i64(): bigint {
    return BigInt.asIntN(64, this.#take(8));
  }

  /** A 64-bit value that must fit a number. */
  number(): number {
    const value = Number(this.u64());
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} does not fit a number`);
    return value;
  }

  bytes(count: number): Uint8Array {
    if (count > this.left) throw new RangeError(`${count} bytes wanted, ${this.left} left`);
    this.#at += count;
    return this.data.slice(this.#at - count, this.#at);
  }

  skip(count: number): void {
    this.bytes(count);
  }

  #take(size: number): bigint {
    let value = 0n;
    for (const [i, byte] of this.bytes(size).entries()) value |= BigInt(byte) << BigInt(8 * i);
    return value;
  }
}
