/**
 * Reads a folder that holds a bucket, by docs/FORMAT.md alone: objects, the chain, and the rows of the
 * newest state. Shares no code with the program; for restore_from_bucket.ts. Changes nothing.
 */
import { createHash } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { Buffer } from "node:buffer";
import { BucketSecrets, unwrap } from "./bucket_secrets.ts";

const ZEROS = "0".repeat(64);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();

export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** Little-endian numbers, one after another. */
class Cursor {
  at = 0;
  readonly #view: DataView;
  constructor(readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  #skip = (length: number) => (this.at += length) - length;
  u8 = () => this.#view.getUint8(this.#skip(1));
  u16 = () => this.#view.getUint16(this.#skip(2), true);
  u32 = () => this.#view.getUint32(this.#skip(4), true);
  u64 = () => Number(this.#view.getBigUint64(this.#skip(8), true));
  i64 = () => this.#view.getBigInt64(this.#skip(8), true);
  take = (length: number) => this.bytes.subarray(this.#skip(length), this.at);
  text = () => this.take(this.u16());
  optional = () => this.u16() === 1 ? this.text() : undefined;
  time = () => [this.i64(), BigInt(this.u32())] as const;
  get left() {
    return this.bytes.length - this.at;
  }
}

// The bucket: keys to paths. A file: store adds "@" and a version id to names.

function listBucket(root: string, below = "", found = new Map<string, string>()) {
  for (const { name, isDirectory } of Deno.readDirSync(`${root}/${below}`)) {
    if (name.startsWith(".")) continue;
    if (isDirectory) listBucket(root, `${below}${name}/`, found);
    else {
      const path = `${root}/${below}${name}`;
      const key = below + name.replace(/@[0-9a-f]{32}$/, "");
      // Versions of a key have the same bytes; where one is newer, it sorts later.
      if (path > (found.get(key) ?? "")) found.set(key, path);
    }
  }
  return found;
}

function readRange(path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
  using file = Deno.openSync(path);
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const read = file.readSync(bytes.subarray(at));
    must(read !== null, `${path} is shorter than it should be`);
    at += read;
  }
  return bytes;
}

interface MetaObject {
  key: string;
  kind: number;
  complete: boolean;
  restart: boolean;
  epoch: number;
  last: number;
  previous: string;
  hash: string;
  payload: Uint8Array;
}

const KEY =
  /^metadata\/([0-9a-f]{16})\/([0-9a-f]{16})-([0-9a-f]{16})-[0-9a-f]{32}(-segment|-snapshot)?$/;

export class Bucket {
  readonly paths: Map<string, string>;
  readonly fileSystem: string;
  readonly chunkSize: number;
  readonly #objects = new Map<string, MetaObject>();
  #secrets: BucketSecrets | undefined;

  /** `passphrase` is for encrypted ones. */
  constructor(root: string, passphrase?: Uint8Array) {
    this.paths = listBucket(root);
    const about = JSON.parse(new TextDecoder().decode(this.read("zero.json")));
    must(about.format === 1, `format ${about.format} is not known here`);
    const unknown = about.features.filter((name: string) => name !== "encryption");
    must(unknown.length === 0, `features ${unknown} are not known here`);
    this.fileSystem = about.fileSystem;
    this.chunkSize = about.chunkSize;
    if (about.features.length === 0) return;
    must(passphrase !== undefined, "it is encrypted: name a file with its passphrase");
    const master = this.keys(/^keys\/[0-9a-f]{32}$/)
      .map(([key]) => unwrap(this.read(key), passphrase)).find((each) => each !== undefined);
    must(master !== undefined, "the passphrase opens no key of this bucket");
    this.#secrets = new BucketSecrets(this.fileSystem, master);
    must(this.#secrets.seal(about) === about.seal, "zero.json is not as it was written");
  }

  read(key: string): Uint8Array {
    const path = this.paths.get(key);
    must(path !== undefined, `${key} is not in the bucket`);
    return Deno.readFileSync(path);
  }

  keys(pattern: RegExp): RegExpExecArray[] {
    return [...this.paths.keys()].sort().map((key) => pattern.exec(key)).filter((m) => m !== null);
  }

  metadata(key: string): MetaObject {
    const known = this.#objects.get(key);
    if (known !== undefined) return known;
    const bytes = this.read(key);
    const head = new Cursor(bytes);
    const foot = new Cursor(bytes.subarray(-48));
    const hash = foot.take(32);
    const features = this.#secrets === undefined ? 0 : 1;
    must(foot.u32() === features && foot.u16() === 1, `${key} is of another version`);
    must(sha256(bytes.subarray(0, -48)).equals(hash), `${key} is damaged`);
    must(hex(head.take(8)) === hex(Buffer.from("ZEROMETA")), `${key} has another magic`);
    must(head.u16() === 1, `${key} is of another version`);
    const kind = head.u8();
    const flags = head.u8();
    must(head.u32() === features, `${key} has features that are not known here`);
    must(hex(head.take(16)) === this.fileSystem, `${key} is of another file system`);
    const epoch = head.u64();
    const [, last] = [head.u64(), head.u64(), head.u64()];
    const previous = hex(head.take(32));
    const [, plain, stored] = [head.u32(), head.u32(), head.u32()];
    const codec = head.u8();
    must(head.u8() === 1, `${key} has records of another version`);
    head.at = 112;
    const opened = this.#secrets?.metadata(bytes.subarray(0, 112), head.take(stored)) ??
      { payload: head.take(stored), codec, plain };
    const payload = expand(opened.payload, opened.codec, opened.plain, key);
    const [complete, restart] = [(flags & 1) === 1, (flags & 2) === 2];
    const object = {
      key,
      kind,
      complete,
      restart,
      epoch,
      last,
      previous,
      hash: hex(hash),
      payload,
    };
    this.#objects.set(key, object);
    return object;
  }

  chunk(pack: Uint8Array, place: PackChunk): Uint8Array {
    const name = hex(pack);
    const path = this.paths.get(`packs/${name.slice(0, 2)}/${name}`);
    must(path !== undefined, `pack ${name} is not in the bucket`);
    const stored = readRange(path, place.offset, place.stored);
    const encoded = this.#secrets?.chunk(pack, place, stored) ?? stored;
    const plain = expand(encoded, place.codec, place.plain, name);
    const id = this.#secrets?.chunkId(plain) ?? sha256(plain);
    must(id.equals(place.id), `a chunk in pack ${name} is damaged`);
    return plain;
  }
}

function expand(stored: Uint8Array, codec: number, plain: number, what: string): Uint8Array {
  must(codec === 0 || codec === 1, `${what}: codec ${codec} is not known here`);
  const options = { maxOutputLength: Math.max(1, plain) };
  const bytes = codec === 0 ? stored : new Uint8Array(zstdDecompressSync(stored, options));
  must(bytes.length === plain, `${what}: ${bytes.length} bytes instead of ${plain}`);
  return bytes;
}

// The chain: which objects make the newest state.

interface State {
  segments: string[];
  changes: MetaObject[];
}

export function newestState(bucket: Bucket): State {
  const changes = bucket.keys(KEY).filter((match) => match[4] === undefined)
    .map(([key]) => bucket.metadata(key));
  const claims = bucket.keys(/^lease\/([0-9a-f]{16})-[0-9a-f]{32}$/).map(([key, epoch]) => {
    const { base } = JSON.parse(new TextDecoder().decode(bucket.read(key)));
    return { epoch: parseInt(epoch, 16), base };
  });
  const follow = (from: string) => {
    const chain: MetaObject[] = [];
    for (let at = from;;) {
      const next = new Map(
        changes.filter(({ previous }) => previous === at).map((o) => [o.hash, o]),
      );
      const epochs = claims.filter(({ base }) => base === at).map(({ epoch }) => epoch);
      const epoch = Math.max(...epochs, ...[...next.values()].map((object) => object.epoch));
      const counts = [...next.values()].filter((object) => object.epoch === epoch);
      must(counts.length < 2, `two follow the same: ${counts.map(({ key }) => key).join(" and ")}`);
      if (counts.length === 0) return chain;
      chain.push(counts[0]);
      at = counts[0].hash;
    }
  };
  const upToComplete = (from: string, end: string) => {
    let chain = follow(from);
    const gap = chain.findIndex(({ restart }, at) => restart && !(end !== from && at === 0));
    if (gap >= 0) chain = chain.slice(0, gap);
    const least = end === from ? 0 : chain.findIndex(({ hash }) => hash === end) + 1;
    if (end !== from && least === 0) return undefined;
    return chain.slice(0, Math.max(least, chain.findLastIndex(({ complete }) => complete) + 1));
  };
  const snapshots = bucket.keys(KEY).filter((match) => match[4] === "-snapshot")
    .sort((a, b) => `${b[1]} ${b[3]}` < `${a[1]} ${a[3]}` ? -1 : 1);
  for (const [key] of snapshots) {
    const list = new Cursor(bucket.metadata(key).payload);
    const [base, end] = [hex(list.take(32)), hex(list.take(32))];
    const usable = upToComplete(base, end);
    if (usable === undefined) continue;
    const segments = Array.from({ length: list.u32() }, () => {
      list.at += 32; // table, keys, count, length: the segment says them too
      const content = list.take(32);
      const segment = new TextDecoder().decode(list.text());
      must(sha256(bucket.metadata(segment).payload).equals(content), `${segment} is another one`);
      return segment;
    });
    return { segments, changes: usable };
  }
  const all = upToComplete(ZEROS, ZEROS)!;
  must(all.length > 0 || changes.length === 0, "neither a snapshot nor a first object can be used");
  return { segments: [], changes: all };
}

// The rows.

interface PackChunk {
  id: Uint8Array;
  ordinal: number;
  offset: number;
  stored: number;
  plain: number;
  codec: number;
}
type Time = readonly [bigint, bigint];
export interface Inode {
  mode: number;
  uid: number;
  gid: number;
  device: number;
  dirty: boolean;
  size: number;
  atime: Time;
  mtime: Time;
  target: Uint8Array | undefined;
}
export interface Version {
  id: number;
  inode: number;
  kind: number;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: Time;
}

export class Rows {
  readonly #tables = new Map<number, Map<number, Uint8Array>>();

  constructor(bucket: Bucket, { segments, changes }: State) {
    for (let table = 1; table <= 7; table++) this.#tables.set(table, new Map());
    for (const key of segments) this.#apply(bucket.metadata(key).payload);
    for (const { payload } of changes) this.#apply(payload);
  }

  #apply(payload: Uint8Array): void {
    for (const from = new Cursor(payload); from.left > 0;) {
      const [table, present] = [from.u8(), from.u8()];
      from.at += 2;
      const [length, key] = [from.u32(), from.u64()];
      const rows = this.#tables.get(table);
      must(rows !== undefined, `table ${table} is not known here`);
      const body = from.take(length);
      if (present === 1) rows.set(key, body);
      else rows.delete(key);
    }
  }

  *each(table: number): Iterable<[number, Cursor]> {
    for (const [key, body] of this.#tables.get(table)!) yield [key, new Cursor(body)];
  }

  row(table: number, key: number): Cursor | undefined {
    const body = this.#tables.get(table)!.get(key);
    return body && new Cursor(body);
  }

  inode(key: number): Inode | undefined {
    const row = this.row(1, key);
    if (row === undefined) return undefined;
    const [mode, uid, gid, , device, flags] = Array.from({ length: 6 }, row.u32);
    const [size] = [row.u64(), row.u64(), row.u64()];
    const [atime, mtime] = [row.time(), row.time(), row.time(), row.time()];
    const dirty = (flags & 1) === 1;
    return { mode, uid, gid, device, dirty, size, atime, mtime, target: row.optional() };
  }

  versions(): Version[] {
    return [...this.each(4)].map(([id, row]) => {
      const [inode, kind, mode, uid, gid] = [row.u64(), ...Array.from({ length: 4 }, row.u32)];
      const [, size] = [row.u64(), row.u64()];
      return { id, inode, kind, mode, uid, gid, size, mtime: row.time() };
    });
  }

  /** Where each chunk lies. A list counts only where its pack is there. */
  places(): Map<number, { pack: Uint8Array; place: PackChunk }> {
    const places = new Map<number, { pack: Uint8Array; place: PackChunk }>();
    for (const [key, row] of this.each(7)) {
      const pack = this.row(6, key)?.take(16);
      if (pack === undefined) continue;
      for (let left = row.u32(); left > 0; left--) {
        const [chunk, id, offset] = [row.u64(), row.take(32), row.u64()];
        const [ordinal, stored, plain, codec] = [row.u32(), row.u32(), row.u32(), row.u16()];
        row.at += 2;
        places.set(chunk, { pack, place: { id, ordinal, offset, stored, plain, codec } });
      }
    }
    return places;
  }
}
