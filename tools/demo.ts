/**
 * deno task demo: shows what Zero does, on this machine alone. Mounts the built program over a folder
 * that plays the bucket, fills it, uploads, evicts everything, reads it back, compares, unmounts.
 * Everything is below one temporary directory, which goes away even when a step fails.
 */
const root = new URL("..", import.meta.url).pathname;
const STEP_TIMEOUT_MS = 60_000;
const LARGE_MEBIBYTES = 80;

const directory = await Deno.makeTempDir({ prefix: "zero-demo-" });
const mountpoint = `${directory}/Zero`;
const zero = `${root}dist/zero`;
let step = 0;

/** Runs a command in a process group of its own; throws with its output unless it ends well in time. */
async function run(command: string, args: string[]): Promise<string> {
  const child = new Deno.Command(command, {
    args,
    cwd: root,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    Deno.kill(-child.pid, "SIGKILL");
  }, STEP_TIMEOUT_MS);
  const { success, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) {
    const why = late ? `took longer than ${STEP_TIMEOUT_MS} ms` : "failed";
    throw new Error(`${command} ${args.join(" ")} ${why}\n${decode(stdout)}${decode(stderr)}`);
  }
  return decode(stdout).trimEnd();
}

/** A shell script in the mount; this process itself never touches the mount. */
const shell = (script: string) => run("sh", ["-c", `cd "$0" && ${script}`, mountpoint]);

function say(text: string): void {
  console.log(`\n${++step}. ${text}`);
}

function show(text: string): void {
  console.log(text.split("\n").map((line) => `   ${line}`).join("\n"));
}

async function demonstrate(): Promise<void> {
  say("Build the one executable, dist/zero (nothing to do where it is up to date).");
  show(await run(Deno.execPath(), ["run", "-A", "tools/compile.ts"]));

  say("Mount. The bucket is a folder here; b2://BUCKET/PREFIX works the same way.");
  await Deno.mkdir(mountpoint);
  show(
    await run(zero, [
      "mount",
      "--store",
      `file://${directory}/bucket`,
      "--cache",
      `${directory}/cache`,
      mountpoint,
    ]),
  );

  say(
    `Write small files, a tree and one file of ${LARGE_MEBIBYTES} MiB: all to the local disk first.`,
  );
  await shell(
    "mkdir -p notes/2026/autumn && for i in 1 2 3 4 5; do echo note $i > notes/2026/autumn/$i.md; done && " +
      `echo hello > hello.txt && ln -s hello.txt link && head -c ${LARGE_MEBIBYTES}M /dev/urandom > film.mov`,
  );
  const listChecksums = "find . -type f | sort | xargs -d '\\n' sha256sum";
  const before = await shell(listChecksums);
  show(await shell("ls -lR | head -20"));

  say("Upload everything and wait until the bucket has confirmed it.");
  show(await run(zero, ["sync", mountpoint]));

  say("Evict everything: only names, sizes and attributes stay on the local disk.");
  show(await run(zero, ["evict", mountpoint]));
  show(await run(zero, ["ls", "-R", mountpoint]));
  const listed: { path: string; type: string; residentBytes: number }[] = JSON.parse(
    await run(zero, ["ls", "-R", "--json", mountpoint]),
  );
  const here = listed.filter((file) => file.type === "file" && file.residentBytes > 0);
  if (here.length > 0) throw new Error(`still local: ${here.map((file) => file.path).join(", ")}`);

  say("ls shows everything as before, without a single call to the bucket.");
  show(await shell("ls -l"));

  say("Read it all: the content comes back chunk by chunk. Compare the checksums.");
  const after = await shell(listChecksums);
  show(after);
  if (after !== before) throw new Error(`the checksums differ; before:\n${before}`);
  show("identical");

  say("Unmount.");
  show(await run(zero, ["unmount", mountpoint]));
}

/** Whether something is still mounted, from the mount table alone. */
function isMounted(): boolean {
  return Deno.readTextFileSync("/proc/self/mountinfo").includes(` ${mountpoint} `);
}

/** Leaves nothing behind: no mount, no daemon, no directory. */
async function cleanUp(): Promise<void> {
  if (isMounted()) {
    await run(zero, ["unmount", "--no-flush", mountpoint]).catch((error) => console.error(error));
  }
  if (isMounted()) await run("umount", ["-l", mountpoint]);
  await Deno.remove(directory, { recursive: true });
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => cleanUp().finally(() => Deno.exit(1)));
}
const started = performance.now();
let failed = false;
try {
  await demonstrate();
} catch (error) {
  failed = true;
  console.error(`\nThe demo failed: ${error instanceof Error ? error.message : error}`);
} finally {
  await cleanUp();
}
if (failed) Deno.exit(1);
console.log(`\nDone in ${((performance.now() - started) / 1000).toFixed(0)} s.`);
