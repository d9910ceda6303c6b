/**
 * The workloads of the file system benchmark. Run as a process of its own on a directory (a mount must
 * not be touched by the process that serves it): `deno run -A bench/workloads.ts DIRECTORY [SCALE]`.
 * Prints one JSON object: seconds per workload.
 */
const [directory, scaleText = "1"] = Deno.args;
const scale = Number(scaleText);
const MiB = 1024 * 1024;
const large = Math.round(256 * scale) * MiB;
const files = Math.round(2000 * scale);
const seconds: Record<string, number> = {};

function timed(name: string, work: () => void): void {
  const start = performance.now();
  work();
  seconds[name] = (performance.now() - start) / 1000;
}

const block = new Uint8Array(MiB);
for (let at = 0; at < block.length; at += 65536) {
  crypto.getRandomValues(block.subarray(at, at + 65536));
}
const root = `${directory}/bench`;
Deno.mkdirSync(root);

timed("sequential write 1 MiB, fsync", () => {
  using file = Deno.openSync(`${root}/large`, { create: true, write: true });
  for (let at = 0; at < large; at += MiB) file.writeSync(block);
  file.syncSync();
});
timed("sequential read 1 MiB", () => {
  using file = Deno.openSync(`${root}/large`);
  while (file.readSync(block) !== null);
});
timed("random read 4 KiB", () => {
  using file = Deno.openSync(`${root}/large`);
  const page = new Uint8Array(4096);
  let state = 12345;
  for (let i = 0; i < 20_000 * scale; i++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    file.seekSync((state % (large / 4096)) * 4096, Deno.SeekMode.Start);
    file.readSync(page);
  }
});
timed("random write 4 KiB", () => {
  using file = Deno.openSync(`${root}/large`, { write: true });
  const page = block.subarray(0, 4096);
  let state = 54321;
  for (let i = 0; i < 5000 * scale; i++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    file.seekSync((state % (large / 4096)) * 4096, Deno.SeekMode.Start);
    file.writeSync(page);
  }
});
timed("create small files", () => {
  Deno.mkdirSync(`${root}/small`);
  for (let i = 0; i < files; i++) Deno.writeFileSync(`${root}/small/${i}`, block.subarray(0, 4096));
});
timed("stat small files", () => {
  for (let i = 0; i < files; i++) Deno.lstatSync(`${root}/small/${i}`);
});
timed("read small files", () => {
  for (let i = 0; i < files; i++) Deno.readFileSync(`${root}/small/${i}`);
});
timed("list directory", () => {
  let count = 0;
  for (const _ of Deno.readDirSync(`${root}/small`)) count++;
  if (count !== files) throw new Error(`${count} names instead of ${files}`);
});
timed("remove everything", () => Deno.removeSync(root, { recursive: true }));

console.log(JSON.stringify(seconds));
