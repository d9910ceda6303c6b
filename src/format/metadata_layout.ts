/** Numbers of the metadata's records and objects that writers and readers share. */

/** Version of the records below; a reader refuses others by name. */
export const RECORD_SCHEMA = 1;

export const DIRTY = 1;
export const PINNED = 2;
export const VERIFIED = 1;
export const CONDEMNED = 2;
export const LOST = 1;
export const ABSENT = 0;
export const PRESENT = 1;
/** Chunks in one run, at most: bounds what a damaged record can make a reader do. */
export const MAX_RUN = 65_536;
/** Bytes of an extended attribute's value, at most. */
export const MAX_VALUE = 65_536;
