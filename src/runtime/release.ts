/**
 * Gives memory back now instead of when garbage is collected. The collector sees little of what large
 * buffers cost: hundreds of megabytes of chunks were waiting for it at a time.
 */

/** Frees the whole buffer behind `bytes`, which nobody may hold or be sending any more. Twice is harmless. */
export function release(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}
