/**
 * What the simulated kernel makes of replies: decoders written from the protocol, not from the encoder
 * they check. Each takes a whole body and insists on its exact size, as Linux does.
 */
import type { Timestamp } from "../../src/runtime/clock.ts";
import { WireReader } from "./wire.ts";

export interface SeenAttributes {
  inode: number;
  size: number;
  blocks: number;
  atime: Timestamp;
  mtime: Timestamp;
  ctime: Timestamp;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  blockSize: number;
}

export interface SeenEntry {
  /** 0: there is no such name. */
  inode: number;
  generation: number;
  entryTimeoutMs: number;
  attributeTimeoutMs: number;
  attributes: SeenAttributes;
}

export interface SeenOpen {
  handle: number;
  flags: number;
  backingId: number;
}

export interface SeenName {
  name: string;
  inode: number;
  type: number;
  cookie: number;
  /** READDIRPLUS. */
  entry?: SeenEntry;
}

export interface SeenInit {
  major: number;
  minor: number;
  maxReadahead: number;
  flags: number;
  maxBackground: number;
  congestionThreshold: number;
  maxWrite: number;
  timeGranularity: number;
  maxPages: number;
  mapAlignment: number;
  flags2: number;
  maxStackDepth: number;
  requestTimeout: number;
}

function attributes(wire: WireReader): SeenAttributes {
  const [inode, size, blocks] = [wire.number(), wire.number(), wire.number()];
  const seconds = [Number(wire.i64()), Number(wire.i64()), Number(wire.i64())];
  const [atime, mtime, ctime] = seconds.map((value) => ({
    seconds: value,
    nanoseconds: wire.u32(),
  }));
  const result = {
    inode,
    size,
    blocks,
    atime,
    mtime,
    ctime,
    mode: wire.u32(),
    nlink: wire.u32(),
    uid: wire.u32(),
    gid: wire.u32(),
    rdev: wire.u32(),
    blockSize: wire.u32(),
  };
  if (wire.u32() !== 0) throw new RangeError("fuse_attr.flags must be 0");
  return result;
}

function entry(wire: WireReader): SeenEntry {
  const [inode, generation] = [wire.number(), wire.number()];
  const [entrySeconds, attributeSeconds] = [wire.number(), wire.number()];
  return {
    inode,
    generation,
    entryTimeoutMs: entrySeconds * 1000 + wire.u32() / 1e6,
    attributeTimeoutMs: attributeSeconds * 1000 + wire.u32() / 1e6,
    attributes: attributes(wire),
  };
}

function open(wire: WireReader): SeenOpen {
  return { handle: wire.number(), flags: wire.u32(), backingId: wire.i32() };
}

function names(wire: WireReader, plus: boolean): SeenName[] {
  const result: SeenName[] = [];
  while (wire.left > 0) {
    const looked = plus ? entry(wire) : undefined;
    const [inode, cookie] = [wire.number(), wire.number()];
    const [length, type] = [wire.u32(), wire.u32()];
    const name = new TextDecoder().decode(wire.bytes(length));
    const padding = wire.bytes((8 - ((24 + length) % 8)) % 8);
    if (padding.some((byte) => byte !== 0)) throw new RangeError("padding must be 0");
    result.push({ name, inode, type, cookie, ...(looked ? { entry: looked } : {}) });
  }
  return result;
}

/** Decodes the whole of a body. */
function exactly<T>(decode: (wire: WireReader) => T): (body: Uint8Array) => T {
  return (body) => {
    const wire = new WireReader(body);
    const result = decode(wire);
    if (wire.left > 0) throw new RangeError(`${wire.left} bytes too many in a reply`);
    return result;
  };
}

export const replies = {
  nothing: exactly(() => ({})),
  bytes: (body: Uint8Array) => body,
  entry: exactly(entry),
  attributes: exactly((wire) => {
    const seconds = wire.number();
    const attributeTimeoutMs = seconds * 1000 + wire.u32() / 1e6;
    wire.skip(4);
    return { attributeTimeoutMs, attributes: attributes(wire) };
  }),
  open: exactly(open),
  create: exactly((wire) => ({ entry: entry(wire), open: open(wire) })),
  count32: exactly((wire) => {
    const count = wire.u32();
    wire.skip(4);
    return count;
  }),
  count64: exactly((wire) => wire.number()),
  names: exactly((wire) => names(wire, false)),
  namesPlus: exactly((wire) => names(wire, true)),
  statfs: exactly((wire) => {
    const [blocks, free, available] = [wire.number(), wire.number(), wire.number()];
    const [files, freeFiles] = [wire.number(), wire.number()];
    const [blockSize, nameLength, fragmentSize] = [wire.u32(), wire.u32(), wire.u32()];
    wire.skip(28);
    return { blocks, free, available, files, freeFiles, blockSize, nameLength, fragmentSize };
  }),
  init: exactly((wire): SeenInit => {
    const seen = {
      major: wire.u32(),
      minor: wire.u32(),
      maxReadahead: wire.u32(),
      flags: wire.u32(),
      maxBackground: wire.u16(),
      congestionThreshold: wire.u16(),
      maxWrite: wire.u32(),
      timeGranularity: wire.u32(),
      maxPages: wire.u16(),
      mapAlignment: wire.u16(),
      flags2: wire.u32(),
      maxStackDepth: wire.u32(),
      requestTimeout: wire.u16(),
    };
    if (wire.bytes(22).some((byte) => byte !== 0)) throw new RangeError("unused must be 0");
    return seen;
  }),
};
