/**
 * The bounds of format 1. Writers keep them, readers check them before they allocate, so that a
 * damaged or hostile object costs an error and never memory. Changing one changes the format.
 */
import { KiB, MiB } from "../domain/units.ts";

/** Version that this program writes and reads, in `zero.json`, packs and claims. */
export const FORMAT_VERSION = 1;

/** Chunk size: a power of two within these bounds, bytes. */
export const MIN_CHUNK_BYTES = 4 * KiB;
export const MAX_CHUNK_BYTES = 64 * MiB;

/** Payload at which a writer closes a pack, bytes. One chunk may be larger and then has its own pack. */
export const PACK_TARGET_BYTES = 16 * MiB;
/** Chunks that a writer puts into one pack: what one transaction can record without a stall. */
export const PACK_TARGET_CHUNKS = 1000;
/** Chunks that a reader accepts in one pack. */
export const MAX_PACK_CHUNKS = 65_536;
/** Length of a pack object that a reader accepts, bytes. */
export const MAX_PACK_BYTES = 256 * MiB;

/** Length of `zero.json` and of a lease claim that a reader accepts, bytes. */
export const MAX_DOCUMENT_BYTES = 64 * KiB;

/** Plain payload of a metadata object, bytes. */
export const MAX_METADATA_BYTES = 256 * MiB;
