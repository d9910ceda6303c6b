/**
 * Takes the entries of one READDIR or READDIRPLUS reply until the kernel's buffer is full. Owns the
 * place in the reply, never the entries. One filler serves all replies: `begin` starts the next.
 */
import { invariant } from "../domain/errors.ts";
import { OutSize } from "./abi.ts";
import type { DirectoryFiller, Entry } from "./operations.ts";
import type { ReplyEncoder } from "./reply_encoder.ts";

/** Bytes of a usual name, and the least number of names that are read at once, whatever the room. */
const USUAL_NAME = 12;
const FEW = 16;

export class ReplyDirectoryFiller implements DirectoryFiller {
  plus = false;
  #used = 0;
  #bytes = 0;

  constructor(private readonly reply: ReplyEncoder) {}

  /** Starts a reply of at most `room` bytes. */
  begin(plus: boolean, room: number): void {
    this.plus = plus;
    this.#used = 0;
    this.#bytes = Math.min(room, this.reply.room);
  }

  /** Bytes of the entries so far. */
  get used(): number {
    return this.#used;
  }

  get room(): number {
    const each = (this.plus ? OutSize.ENTRY : 0) + OutSize.DIRENT + USUAL_NAME;
    return Math.max(FEW, Math.ceil((this.#bytes - this.#used) / each));
  }

  add(given: string | Uint8Array, inode: number, type: number, cookie: number): boolean {
    const prefix = this.plus ? OutSize.ENTRY : 0;
    const name = wireName(given);
    const size = entrySize(name);
    if (this.#used + prefix + size > this.#bytes) return false;
    if (this.plus) this.reply.putNoEntry(this.#used);
    this.reply.putName(this.#used + prefix, name, { inode, type, cookie, size });
    this.#used += prefix + size;
    return true;
  }

  addEntry(given: string | Uint8Array, entry: Entry, cookie: number): boolean {
    invariant(this.plus, "addEntry counts a lookup, which READDIR does not: use add");
    const name = wireName(given);
    const size = entrySize(name);
    if (this.#used + OutSize.ENTRY + size > this.#bytes) return false;
    const { inode, mode } = entry.attributes;
    this.reply.putEntry(this.#used, entry);
    this.reply.putName(this.#used + OutSize.ENTRY, name, {
      inode,
      type: mode >>> 12,
      cookie,
      size,
    });
    this.#used += OutSize.ENTRY + size;
    return true;
  }
}

const encoder = new TextEncoder();

/** A name whose `length` is that of its bytes: ASCII stays text, which costs no buffer. */
function wireName(name: string | Uint8Array): string | Uint8Array {
  if (typeof name !== "string") return name;
  for (let i = 0; i < name.length; i++) {
    if (name.charCodeAt(i) > 0x7f) return encoder.encode(name);
  }
  return name;
}

/** Entries are padded to 8 bytes. */
function entrySize(name: string | Uint8Array): number {
  return (OutSize.DIRENT + name.length + 7) & ~7;
}
