/**
 * The workloads that are system calls. Run as a process of its own on a directory (a mount must not be
 * touched by the process that serves it): `workloads.ts DIRECTORY SCALE GROUP,…`. Calls go straight to
 * libc, so that little but the file system is measured. Prints one JSON object: seconds per row.
 */
import * as libc from "../src/runtime/libc.ts";
import { sumMapped } from "./mapped.ts";

const [directory, scaleText = "1", groups = "content,small"] = Deno.args;
const scale = Number(scaleText);
const MiB = 1024 * 1024;
const seconds: Record<string, number> = {};
const root = `${directory}/bench`;

function ok(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: errno ${-result}`);
  return result;
}

function timed(name: string, work: () => void): void {
  const start = performance.now();
  work();
  seconds[name] = (performance.now() - start) / 1000;
}

const block = new Uint8Array(MiB);
for (let at = 0; at < block.length; at += 65536) {
  crypto.getRandomValues(block.subarray(at, at + 65536));
}
const page = block.subarray(0, 4096);

/** Makes every file system forget what it holds in memory; false where we may not. */
function dropCaches(what: "names" | "all"): boolean {
  const fd = libc.open("/proc/sys/vm/drop_caches", libc.O.WRONLY);
  if (fd < 0) return false;
  libc.write(fd, new TextEncoder().encode(what === "names" ? "2" : "3"));
  libc.close(fd);
  return true;
}

const large = `${root}/large`;
const largeBytes = Math.round(1024 * scale) * MiB;

function writeLarge(call: number, sync: boolean): void {
  const fd = ok(libc.open(large, libc.O.WRONLY | libc.O.CREAT | libc.O.TRUNC, 0o644), "create");
  const bytes = block.subarray(0, call);
  for (let at = 0; at < largeBytes; at += call) ok(libc.pwrite(fd, bytes, at), "write");
  if (sync) ok(libc.fsync(fd), "fsync");
  libc.close(fd);
}

function readLarge(call: number): void {
  const fd = ok(libc.open(large, libc.O.RDONLY), "open");
  const into = new Uint8Array(call);
  for (let at = 0; at < largeBytes; at += call) ok(libc.pread(fd, into, at), "read");
  libc.close(fd);
}

/** Offsets of pages, the same ones in every run. */
function* places(count: number): Iterable<number> {
  for (let i = 0, state = 12345; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    yield ((state >>> 4) % (largeBytes / 4096)) * 4096;
  }
}

function atRandom(flags: number, count: number, action: (fd: number, at: number) => void): void {
  const fd = ok(libc.open(large, flags), "open");
  for (const at of places(count)) action(fd, at);
  libc.close(fd);
}

function remove(path: string): void {
  ok(libc.unlink(path), "unlink");
}

function content(): void {
  timed("write 1 MiB, into the page cache", () => writeLarge(MiB, false));
  ok(libc.unlink(large), "unlink");
  timed("write 128 KiB, fsync", () => writeLarge(128 * 1024, true));
  remove(large);
  timed("write 1 MiB, fsync", () => writeLarge(MiB, true));
  readLarge(MiB);
  timed("read 1 MiB, resident", () => readLarge(MiB));
  timed("read 128 KiB, resident", () => readLarge(128 * 1024));
  const into = new Uint8Array(4096);
  timed(
    "random read 4 KiB, resident",
    () => atRandom(libc.O.RDONLY, 50_000 * scale, (fd, at) => ok(libc.pread(fd, into, at), "read")),
  );
  timed("mmap read, resident", () => void sumMapped(large, largeBytes));
  timed(
    "random write 4 KiB, buffered",
    () =>
      atRandom(libc.O.WRONLY, 20_000 * scale, (fd, at) => ok(libc.pwrite(fd, page, at), "write")),
  );
  ok(syncFile(), "fsync");
  timed("random write 4 KiB, fsync each", () =>
    atRandom(libc.O.WRONLY, 500 * scale, (fd, at) => {
      ok(libc.pwrite(fd, page, at), "write");
      ok(libc.fsync(fd), "fsync");
    }));
  if (dropCaches("all")) timed("read 1 MiB, from the disk", () => readLarge(MiB));
  remove(large);
}

function syncFile(): number {
  const fd = ok(libc.open(large, libc.O.WRONLY), "open");
  const result = libc.fsync(fd);
  libc.close(fd);
  return result;
}

function create(path: string, bytes: Uint8Array): void {
  const fd = ok(libc.open(path, libc.O.WRONLY | libc.O.CREAT | libc.O.TRUNC, 0o644), "create");
  if (bytes.length > 0) ok(libc.write(fd, bytes), "write");
  libc.close(fd);
}

const each = (count: number, prefix: string, action: (path: string) => void) => {
  for (let i = 0; i < count; i++) action(`${prefix}${i}`);
};

function listed(path: string, count: number): void {
  const found = [...Deno.readDirSync(path)].length;
  if (found !== count) throw new Error(`${found} names instead of ${count}`);
}

function small(): void {
  const files = Math.round(10_000 * scale);
  const prefix = `${root}/small/f`;
  Deno.mkdirSync(`${root}/small`);
  const stat = (path: string) => {
    if (typeof libc.lstat(path) === "number") throw new Error(`${path} is gone`);
  };
  timed("create small files", () => each(files, prefix, (path) => create(path, page)));
  each(files, prefix, stat);
  timed("stat, warm", () => each(files, prefix, stat));
  timed("list, for the first time", () => listed(`${root}/small`, files));
  timed("list, warm", () => listed(`${root}/small`, files));
  if (dropCaches("names")) timed("stat, cold", () => each(files, prefix, stat));
  if (dropCaches("names")) {
    timed("list and stat, cold", () => {
      for (const { name } of Deno.readDirSync(`${root}/small`)) stat(`${root}/small/${name}`);
    });
  }
  const into = new Uint8Array(8192);
  timed("read small files", () =>
    each(files, prefix, (path) => {
      const fd = ok(libc.open(path, libc.O.RDONLY), "open");
      if (libc.read(fd, into) !== 4096) throw new Error(`${path} is not whole`);
      libc.close(fd);
    }));
  timed("remove small files", () => each(files, prefix, remove));
  ok(libc.rmdir(`${root}/small`), "rmdir");
}

function many(): void {
  const names = Math.round(100_000 * scale);
  Deno.mkdirSync(`${root}/many`);
  const nothing = new Uint8Array(0);
  timed("many names: create", () => each(names, `${root}/many/`, (path) => create(path, nothing)));
  timed("many names: list", () => listed(`${root}/many`, names));
  timed("many names: remove", () => each(names, `${root}/many/`, remove));
  ok(libc.rmdir(`${root}/many`), "rmdir");
}

/** Eight processes, each with its own directory of small files. */
async function parallel(): Promise<void> {
  const start = performance.now();
  const results = await Promise.all(Array.from({ length: 8 }, async (_, i) => {
    Deno.mkdirSync(`${directory}/part${i}`);
    const result = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-lock", import.meta.filename!],
        ...[`${directory}/part${i}`, `${scale / 8}`, "small"],
      ],
    }).output();
    Deno.removeSync(`${directory}/part${i}`, { recursive: true });
    return result;
  }));
  for (const { success, stderr } of results) {
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }
  seconds["8 processes: small files, all of it"] = (performance.now() - start) / 1000;
}

const actions: Record<string, () => void | Promise<void>> = { content, small, many, parallel };
Deno.mkdirSync(root);
for (const group of groups.split(",")) await actions[group]();
Deno.removeSync(root, { recursive: true });
console.log(JSON.stringify(seconds));
