/**
 * Bytes that one isolate lends to another of the same process, by address. For the filesystem isolate,
 * which takes its messages with `receiveMessageOnPort`: Deno hands those over byte by byte (measured:
 * 120 ns a byte, half a second for a chunk of 4 MiB), so messages carry only an address.
 *
 * The lender keeps its array reachable, unchanged and attached until the borrower has said that it is
 * done; nothing here can check that.
 */

/** Where an array's bytes lie. Valid as long as the array is reachable and its buffer not transferred. */
export function addressOf(bytes: Uint8Array<ArrayBuffer>): number {
  if (bytes.length === 0) return 0;
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}

/** The same bytes, without a copy. */
export function bytesAt(address: number, length: number): Uint8Array<ArrayBuffer> {
  if (length === 0) return new Uint8Array(0);
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) throw new RangeError(`no bytes lie at address ${address}`);
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length));
}
