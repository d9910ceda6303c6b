/**
 * Builds the one executable, dist/zero. Does nothing when its inputs are as they were.
 *
 * First choice is `deno compile` (it takes its base runtime from Deno's download site, or from the file
 * that DENORT_BIN names). Where that cannot be had, or does not run, the executable is a POSIX shell
 * header followed by two archives: the bundles of main and of every Worker, and the deno binary.
 * It unpacks itself once per version into ${XDG_CACHE_HOME:-~/.cache}/zero/<hash>, privately and
 * atomically, and then is a plain `deno run`.
 */
import { bundledName } from "../src/runtime/worker_url.ts";

const root = new URL("..", import.meta.url).pathname;
const dist = `${root}dist`;
const target = `${dist}/zero`;
const COMPILE_TIMEOUT_MS = 120_000;

/** Flags of the bundled program: nothing is looked up outside its own directory. */
const RUN_FLAGS = "run -A --quiet --no-config --no-lock --cached-only";

function filesBelow(path: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(path)) {
    if (entry.isDirectory) found.push(...filesBelow(`${path}/${entry.name}`));
    else if (entry.name.endsWith(".ts")) found.push(`${path}/${entry.name}`);
  }
  return found.sort();
}

/** Worker entries, as paths below src. */
function workerEntries(): string[] {
  const entries = new Set<string>();
  for (const file of filesBelow(`${root}src`)) {
    if (file.endsWith("/runtime/worker_url.ts")) continue;
    for (const [, entry] of Deno.readTextFileSync(file).matchAll(/\bworkerUrl\(\s*"([^"]+)"/g)) {
      entries.add(entry);
    }
  }
  return [...entries].sort();
}

async function sha256(chunks: Iterable<string>): Promise<string> {
  const text = [...chunks].join("\0");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** A hash of everything that the executable is made of. */
function inputsHash(): Promise<string> {
  const files = ["main.ts", "deno.json", "deno.lock", "tools/compile.ts"].map((f) => root + f);
  files.push(...filesBelow(`${root}src`));
  const denort = Deno.env.get("DENORT_BIN") ?? "";
  return sha256([
    Deno.version.deno,
    Deno.build.target,
    denort,
    ...files.flatMap((file) => [file.slice(root.length), Deno.readTextFileSync(file)]),
  ]);
}

function readIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function sizeOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function run(
  command: string,
  args: string[],
  options: { timeoutMs?: number } = {},
): Promise<{ success: boolean; output: string }> {
  const signal = options.timeoutMs === undefined
    ? undefined
    : AbortSignal.timeout(options.timeoutMs);
  const result = await new Deno.Command(command, { args, cwd: root, stdin: "null", signal })
    .output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { success: result.success, output: decode(result.stdout) + decode(result.stderr) };
}

async function must(command: string, args: string[]): Promise<void> {
  const result = await run(command, args);
  if (!result.success) throw new Error(`${command} ${args.join(" ")} failed:\n${result.output}`);
}

/** `deno compile` into `output`. False, after one line that says why, where that is not possible. */
async function compileWithDenort(workers: string[], output: string): Promise<boolean> {
  const includes = workers.flatMap((entry) => ["--include", `src/${entry}`]);
  const args = ["compile", "-A", "--quiet", "--no-check", ...includes, "--output", output];
  const compiled = await run(Deno.execPath(), [...args, "main.ts"], {
    timeoutMs: COMPILE_TIMEOUT_MS,
  });
  if (!compiled.success) {
    const why = /error sending request for url \([^)]*\)/.exec(compiled.output) !== null
      ? "its base runtime cannot be downloaded here (set DENORT_BIN to a local denort)"
      : compiled.output.trim().split("\n")[0];
    console.log(`compile: no deno compile: ${why}; making a self-extracting executable`);
    return false;
  }
  const tried = await run(output, ["version"], { timeoutMs: 30_000 });
  if (tried.success && /^zero \d/.test(tried.output)) return true;
  console.log("compile: what deno compile made does not run; making a self-extracting executable");
  await Deno.remove(output);
  return false;
}

/** The deno binary as an archive; made once per binary, because it takes seconds. */
async function archivedRuntime(): Promise<{ path: string; id: string }> {
  const deno = await Deno.realPath(Deno.execPath());
  const { size, mtime } = await Deno.stat(deno);
  const id = (await sha256([deno, String(size), String(mtime?.getTime())])).slice(0, 16);
  const path = `${dist}/.deno-${Deno.version.deno}-${id}.tar.gz`;
  if (sizeOf(path) !== undefined) return { path, id };
  const staging = await Deno.makeTempDir({ dir: dist, prefix: ".runtime-" });
  try {
    await Deno.copyFile(deno, `${staging}/deno`);
    await Deno.chmod(`${staging}/deno`, 0o755);
    await must("tar", ["-czf", `${staging}/archive`, "-C", staging, "deno"]);
    await Deno.rename(`${staging}/archive`, path);
  } finally {
    await Deno.remove(staging, { recursive: true });
  }
  return { path, id };
}

/** Bundles of main and of the Workers, side by side, as an archive. */
async function archivedBundles(workers: string[], staging: string): Promise<string> {
  const bundle = (entry: string, name: string) =>
    must(Deno.execPath(), [
      "bundle",
      "--quiet",
      "--no-check",
      "--platform",
      "deno",
      "--output",
      `${staging}/${name}`,
      entry,
    ]);
  await bundle("main.ts", "main.js");
  for (const entry of workers) await bundle(`src/${entry}`, bundledName(entry));
  const names = ["main.js", ...workers.map(bundledName)];
  await must("tar", ["-czf", `${staging}/bundles.tar.gz`, "-C", staging, ...names]);
  return `${staging}/bundles.tar.gz`;
}

/** The shell header. Offsets count bytes from 1, as tail does. */
function header(
  facts: { bundles: { id: string; size: number }; runtime: { id: string; size: number } },
): string {
  const { bundles, runtime } = facts;
  const pad = (offset: number) => String(offset).padStart(8, "0");
  const text = (start: number) =>
    `#!/bin/sh
# Zero in one file. Unpacks itself once per version, then runs. Made by tools/compile.ts.
set -eu
cache=\${XDG_CACHE_HOME:-\${HOME:-/var}/.cache}/zero
# Never run what another user could have put there (sudo keeps HOME on some systems).
if [ -e "$cache" ] && ! [ -O "$cache" ]; then cache=/var/cache/zero; fi
# unpack NAME OFFSET SIZE: privately, beside, then renamed into place
unpack() {
  mask=$(umask)
  umask 077
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/.unpack-XXXXXX") || { echo "zero: cannot unpack into $cache" >&2; exit 1; }
  trap 'rm -rf "$part"' EXIT
  trap 'exit 1' HUP INT TERM
  # head leaves as soon as it has enough, of which tail would complain.
  tail -c "+$2" "$0" 2>/dev/null | head -c "$3" | tar -xzf - -C "$part" ||
    { echo "zero: cannot unpack into $cache" >&2; exit 1; }
  mv "$part" "$cache/$1"
  # Where another first start was faster, mv put ours inside its directory.
  rm -rf "$cache/$1/\${part##*/}"
  trap - EXIT HUP INT TERM
  umask "$mask"
}
runtime=deno-${runtime.id}
[ -s "$cache/$runtime/deno" ] && [ -O "$cache/$runtime" ] || unpack "$runtime" ${
      pad(start + bundles.size)
    } ${runtime.size}
program=${bundles.id}
[ -s "$cache/$program/main.js" ] && [ -O "$cache/$program" ] || unpack "$program" ${
      pad(start)
    } ${bundles.size}
# A replay holds a whole record: with this its garbage takes a third less, and it a tenth longer.
heap=
[ "\${1-} \${2-}" != "policy replay" ] || heap=--v8-flags=--heap-growing-percent=30
DENO_DIR=$cache/$program/deno DENO_NO_UPDATE_CHECK=1 \\
  exec "$cache/$runtime/deno" ${RUN_FLAGS} $heap "$cache/$program/main.js" "$@"
exit 1
`;
  return text(text(0).length + 1);
}

async function makeSelfExtracting(workers: string[], output: string): Promise<void> {
  const staging = await Deno.makeTempDir({ dir: dist, prefix: ".build-" });
  try {
    const bundles = await archivedBundles(workers, staging);
    const runtime = await archivedRuntime();
    const contents = await Promise.all(
      ["main.js", ...workers.map(bundledName)].map((name) =>
        Deno.readTextFile(`${staging}/${name}`)
      ),
    );
    const id = (await sha256([RUN_FLAGS, ...contents])).slice(0, 24);
    const file = await Deno.open(output, { write: true, create: true, truncate: true });
    const writer = file.writable.getWriter();
    const text = header({
      bundles: { id, size: sizeOf(bundles)! },
      runtime: { id: runtime.id, size: sizeOf(runtime.path)! },
    });
    await writer.write(new TextEncoder().encode(text));
    await writer.write(await Deno.readFile(bundles));
    await writer.write(await Deno.readFile(runtime.path));
    await writer.close();
    await Deno.chmod(output, 0o755);
  } finally {
    await Deno.remove(staging, { recursive: true });
  }
}

const started = performance.now();
await Deno.mkdir(dist, { recursive: true });
const inputs = await inputsHash();
const stamp = `${dist}/.zero.inputs`;
if (sizeOf(target) !== undefined && readIfThere(stamp) === inputs) {
  console.log("compile: dist/zero is up to date");
} else {
  const workers = workerEntries();
  // Built beside and renamed into place: a running dist/zero keeps its file.
  const output = `${target}.new-${Deno.pid}`;
  if (!await compileWithDenort(workers, output)) await makeSelfExtracting(workers, output);
  await Deno.rename(output, target);
  await Deno.writeTextFile(stamp, inputs);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`compile: dist/zero, ${(sizeOf(target)! / 1e6).toFixed(0)} MB, ${seconds} s`);
}
