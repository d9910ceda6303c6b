/**
 * How the user's pins are kept: the flag `pinned` of an inode, and where it ends by itself the
 * attribute `user.zero.pin` with its end. An attribute and not a column, so that it goes wherever
 * attributes go. Pure.
 */
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Name of the attribute. Programs see it through getxattr, whether there is an end or not. */
export const PIN_NAME: Uint8Array = encoder.encode("user.zero.pin");

/** The attribute's value for a pin that ends at `untilMs`. */
export function pinValue(untilMs: number): Uint8Array {
  return encoder.encode(new Date(untilMs).toISOString());
}

/** When the pin of an inode whose flag is set ends; Infinity: never. `value`: its attribute, if it has one. */
export function pinUntil(value: Uint8Array | undefined): number {
  if (value === undefined) return Infinity;
  const untilMs = Date.parse(decoder.decode(value));
  // Nobody but Zero writes it; what cannot be read keeps the pin, not the eviction.
  return Number.isNaN(untilMs) ? Infinity : untilMs;
}
