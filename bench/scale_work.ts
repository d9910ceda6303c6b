/**
 * What the benchmark of scale has other processes do in a mount or on the raw disk:
 *
 *   make DIRECTORY FILES PER       the tree of scale_fill.ts, empty files, made by system calls
 *   probe DIRECTORY FILES PER END  stats one file after the other, each for the first time, two
 *                                  milliseconds apart, until the file END exists; prints percentiles
 */
const [action, directory, filesText, perText, end] = Deno.args;
const [files, perDirectory] = [Number(filesText), Number(perText)];
/** Between two probes, milliseconds. */
const PAUSE_MS = 2;

function make(): void {
  Deno.mkdirSync(directory);
  for (let i = 0; i < files; i++) {
    const folder = `${directory}/d${Math.floor(i / perDirectory)}`;
    if (i % perDirectory === 0) Deno.mkdirSync(folder);
    Deno.openSync(`${folder}/f${i}`, { create: true, write: true }).close();
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function probe(): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const took: number[] = [];
  // Spread over the tree, so that no two of them share a page; the stride is coprime to most sizes.
  for (let i = 0, at = 0; i < files; i++, at = (at + 7919) % files) {
    if (i % 50 === 0 && exists(end)) break;
    const path = `${directory}/d${Math.floor(at / perDirectory)}/f${at}`;
    const from = performance.now();
    Deno.lstatSync(path);
    took.push(performance.now() - from);
    Atomics.wait(pause, 0, 0, PAUSE_MS);
  }
  took.sort((a, b) => a - b);
  const at = (share: number) => took[Math.min(took.length - 1, Math.floor(took.length * share))];
  console.log(JSON.stringify({
    probes: took.length,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
    longest: took[took.length - 1],
  }));
}

if (action === "make") make();
else if (action === "probe") probe();
else throw new Error(`'${action}' is neither make nor probe`);
