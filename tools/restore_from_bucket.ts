/**
 * Restores a file system from a folder that holds its bucket, by docs/FORMAT.md alone: shares no code
 * with the program, so that it proves that document, and still works where the program does not.
 *
 *     deno run -A tools/restore_from_bucket.ts BUCKET TARGET [PASSPHRASE-FILE]
 *
 * BUCKET is the folder of a `file:` store, or a plain copy of a bucket's prefix; TARGET does not exist
 * yet. Owners and devices come back for root only. Everything is verified; nothing in BUCKET changes.
 */
import { Buffer } from "node:buffer";
import { Bucket, type Inode, must, newestState, Rows, type Version } from "./bucket_reader.ts";

// Names are bytes, which Deno's own calls do not take.

const libc = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  symlink: { parameters: ["buffer", "buffer"], result: "i32" },
  link: { parameters: ["buffer", "buffer"], result: "i32" },
  mknod: { parameters: ["buffer", "u32", "u64"], result: "i32" },
  lchown: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  chmod: { parameters: ["buffer", "u32"], result: "i32" },
  lsetxattr: { parameters: ["buffer", "buffer", "buffer", "usize", "i32"], result: "i32" },
  utimensat: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
}).symbols;
const O_CREAT_EXCL_WRONLY = 0o301;
const [AT_FDCWD, NOFOLLOW] = [-100, 0x100];
const [TYPE, DIRECTORY, REGULAR, SYMLINK] = [0o170000, 0o040000, 0o100000, 0o120000];

const text = (bytes: Uint8Array) => new Uint8Array(Buffer.concat([bytes, new Uint8Array(1)]));
function ok(result: number | bigint, what: string, path: Uint8Array): number {
  must(Number(result) >= 0, `${what} ${new TextDecoder().decode(path)} failed`);
  return Number(result);
}

class Restorer {
  readonly #names = new Map<number, { name: Uint8Array; inode: number }[]>();
  readonly #attributes = new Map<number, { name: Uint8Array; value: Uint8Array }[]>();
  readonly #saved = new Map<number, Version>();
  readonly #predecessors = new Map<number, Version>();
  readonly #places: ReturnType<Rows["places"]>;
  readonly #made = new Map<number, Uint8Array>();
  /** Paths of files of whose content the bucket has nothing. */
  readonly unknown: Uint8Array[] = [];
  files = 0;

  constructor(readonly bucket: Bucket, readonly rows: Rows) {
    for (const [, row] of rows.each(2)) {
      const [directory, inode, name] = [row.u64(), row.u64(), row.text()];
      this.#names.set(directory, [...this.#names.get(directory) ?? [], { name, inode }]);
    }
    for (const [, row] of rows.each(3)) {
      const [inode, name, value] = [row.u64(), row.text(), row.take(row.u32())];
      this.#attributes.set(inode, [...this.#attributes.get(inode) ?? [], { name, value }]);
    }
    for (const version of rows.versions()) {
      if (version.kind === 1) this.#saved.set(version.inode, version);
      // The newest counts.
      const other = this.#predecessors.get(version.inode);
      if (version.kind === 2 && !(other && other.id > version.id)) {
        this.#predecessors.set(version.inode, version);
      }
    }
    this.#places = rows.places();
  }

  directory(key: number, path: Uint8Array): void {
    const inode = this.rows.inode(key);
    ok(libc.mkdir(text(path), 0o700), "making", path);
    for (const { name, inode: child } of this.#names.get(key) ?? []) {
      const below = new Uint8Array(Buffer.concat([path, Buffer.from("/"), name]));
      const row = this.rows.inode(child);
      if (row === undefined) continue;
      if ((row.mode & TYPE) === DIRECTORY) this.directory(child, below);
      else this.#entry(child, row, below);
    }
    if (inode !== undefined) this.#finish(key, inode, path);
  }

  #entry(key: number, inode: Inode, path: Uint8Array): void {
    const other = this.#made.get(key);
    if (other !== undefined) {
      ok(libc.link(text(other), text(path)), "linking", path);
      return;
    }
    const type = inode.mode & TYPE;
    if (type === REGULAR) {
      const version = this.#saved.get(key) ?? this.#predecessors.get(key);
      if (version === undefined && inode.size > 0) return void this.unknown.push(path);
      this.#content(version, path);
      if (version?.kind === 2) {
        const { mode, uid, gid, mtime } = version;
        Object.assign(inode, { mode, uid, gid, mtime });
      } else if (version !== undefined && inode.dirty) inode.mtime = version.mtime;
      this.files++;
    } else if (type === SYMLINK) {
      ok(libc.symlink(text(inode.target!), text(path)), "making the link", path);
    } else {
      // Linux packs a device of 32 bits as its mknod takes it.
      ok(libc.mknod(text(path), inode.mode, BigInt(inode.device)), "making the node", path);
    }
    this.#made.set(key, path);
    this.#finish(key, inode, path);
  }

  #content(version: Version | undefined, path: Uint8Array): void {
    const fd = ok(libc.open(text(path), O_CREAT_EXCL_WRONLY, 0o600), "making", path);
    const size = version?.size ?? 0;
    ok(libc.ftruncate(fd, BigInt(size)), "sizing", path);
    const runs = version && this.rows.row(5, version.id);
    for (let left = runs?.u32() ?? 0; left > 0; left--) {
      const [place, chunk, count, valid] = [runs!.u64(), runs!.u64(), runs!.u32(), runs!.u32()];
      for (let i = 0; i < count; i++) {
        const found = this.#places.get(chunk + i);
        must(found !== undefined, `no pack lists chunk ${chunk + i}`);
        const plain = this.bucket.chunk(found.pack, found.place).slice(0, valid);
        const at = (place + i) * this.bucket.chunkSize;
        for (let done = 0; done < plain.length;) {
          const rest = plain.slice(done);
          done += ok(
            libc.pwrite(fd, rest, BigInt(rest.length), BigInt(at + done)),
            "writing",
            path,
          );
        }
      }
    }
    ok(libc.close(fd), "closing", path);
  }

  #finish(key: number, inode: Inode, path: Uint8Array): void {
    if (Deno.uid() === 0) ok(libc.lchown(text(path), inode.uid, inode.gid), "owning", path);
    for (const { name, value } of this.#attributes.get(key) ?? []) {
      // Zero's own notes, such as pins and its policy: they mean nothing to other file systems.
      if (new TextDecoder().decode(name).startsWith("user.zero.")) continue;
      const length = BigInt(value.length);
      ok(libc.lsetxattr(text(path), text(name), value.slice(), length, 0), "marking", path);
    }
    if ((inode.mode & TYPE) !== SYMLINK) {
      ok(libc.chmod(text(path), inode.mode & 0o7777), "opening", path);
    }
    const times = new BigInt64Array([...inode.atime, ...inode.mtime]);
    ok(libc.utimensat(AT_FDCWD, text(path), times, NOFOLLOW), "dating", path);
  }
}

function restore(from: string, to: string, passphraseFile: string | undefined): void {
  const passphrase = passphraseFile === undefined ? undefined : Deno.readFileSync(passphraseFile);
  const isLine = passphrase?.at(-1) === 0x0a;
  const bucket = new Bucket(from, isLine ? passphrase!.subarray(0, -1) : passphrase);
  const restorer = new Restorer(bucket, new Rows(bucket, newestState(bucket)));
  restorer.directory(1, new TextEncoder().encode(to));
  const decoder = new TextDecoder();
  for (const path of restorer.unknown) {
    console.error(`nothing of ${decoder.decode(path)} is in the bucket`);
  }
  console.log(`${restorer.files} files`);
}

if (import.meta.main) {
  const [from, to, passphraseFile] = Deno.args;
  if (to === undefined) {
    console.error("use: restore_from_bucket.ts BUCKET TARGET [PASSPHRASE-FILE]");
    Deno.exit(2);
  }
  try {
    restore(from, to, passphraseFile);
  } catch (error) {
    console.error(`restore_from_bucket: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
