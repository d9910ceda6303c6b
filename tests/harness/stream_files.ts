/**
 * A program that writes files whose content follows from their names, and checks them without a copy.
 *
 *     deno run -A stream_files.ts write DIRECTORY SEED BYTES   files of mixed size, BYTES in all
 *     deno run -A stream_files.ts make FILE SEED BYTES         one file
 *     deno run -A stream_files.ts check DIRECTORY SEED         every file, front to back
 *     deno run -A stream_files.ts probe FILE SEED COUNT        COUNT reads at random offsets
 *
 * `write` prints `ok NAME` or `failed NAME CODE` for each file and goes on after a failure; what failed
 * it renames to failed-… and `check` passes over it.
 */
import { SeededRandom } from "./seeded_random.ts";
import { fillStream, firstWrong } from "./stream_data.ts";

const MiB = 1024 * 1024;
const SIZES = [2000, 70_000, 900_000, 5 * MiB, 14 * MiB, 40 * MiB];
const BUFFER_BYTES = MiB;

/** A file's name holds its seed and size: nothing else has to be remembered. */
function parse(name: string): { seed: number; size: number } | undefined {
  const match = /^file-(\d+)-(\d+)$/.exec(name);
  return match === null ? undefined : { seed: Number(match[1]), size: Number(match[2]) };
}

function make(path: string, options: { seed: number; size: number; sync: boolean }): void {
  const { seed, size, sync } = options;
  const buffer = new Uint8Array(BUFFER_BYTES);
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  for (let at = 0; at < size;) {
    const part = buffer.subarray(0, Math.min(BUFFER_BYTES, size - at));
    fillStream(part, seed, at);
    for (let done = 0; done < part.length;) done += file.writeSync(part.subarray(done));
    at += part.length;
  }
  if (sync) file.syncSync();
}

function write(directory: string, seed: number, bytes: number): void {
  const random = new SeededRandom(seed);
  for (let left = bytes; left > 0;) {
    const size = Math.min(left, 1 + random.below(SIZES[random.below(SIZES.length)]));
    left -= size;
    const name = `file-${random.next()}-${size}`;
    const path = `${directory}/${name}`;
    try {
      make(path, { ...parse(name)!, sync: random.below(4) === 0 });
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`failed ${name} ${(error as { code?: string }).code ?? error}`);
      rename(path, `${directory}/failed-${name}`);
    }
  }
}

function rename(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) console.log(`failed rename ${error}`);
  }
}

/** Why the file is not as its name says; undefined when it is. */
function wrong(path: string, { seed, size }: { seed: number; size: number }): string | undefined {
  using file = Deno.openSync(path);
  const buffer = new Uint8Array(BUFFER_BYTES);
  let at = 0;
  for (;;) {
    const count = file.readSync(buffer);
    if (count === null) break;
    const bad = firstWrong(buffer.subarray(0, count), seed, at);
    if (bad >= 0) return `byte ${at + bad} is ${buffer[bad]}`;
    at += count;
  }
  return at === size ? undefined : `${at} bytes, should be ${size}`;
}

function check(directory: string): void {
  let files = 0;
  for (const { name } of Deno.readDirSync(directory)) {
    const content = parse(name);
    if (content === undefined) continue;
    files++;
    report(name, wrong(`${directory}/${name}`, content));
  }
  console.log(`${files} files`);
}

function probe(path: string, seed: number, count: number): void {
  const random = new SeededRandom(seed);
  const buffer = new Uint8Array(70_000);
  using file = Deno.openSync(path);
  const { size } = file.statSync();
  for (let i = 0; i < count; i++) {
    const at = random.below(size);
    file.seekSync(at, Deno.SeekMode.Start);
    const read = file.readSync(buffer.subarray(0, 1 + random.below(buffer.length))) ?? 0;
    const bad = firstWrong(buffer.subarray(0, read), seed, at);
    report(path, bad < 0 && read > 0 ? undefined : `byte ${at + bad} of a read at ${at} is wrong`);
  }
}

function report(name: string, fault: string | undefined): void {
  if (fault === undefined) return;
  console.log(`wrong ${name}: ${fault}`);
  Deno.exitCode = 1;
}

const [mode, path, seed, amount] = Deno.args;
switch (mode) {
  case "write":
    write(path, Number(seed), Number(amount));
    break;
  case "make":
    make(path, { seed: Number(seed), size: Number(amount), sync: false });
    break;
  case "check":
    check(path);
    break;
  case "probe":
    probe(path, Number(seed), Number(amount));
    break;
  default:
    throw new Error(`unknown mode ${mode}`);
}
