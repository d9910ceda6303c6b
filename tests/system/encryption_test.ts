/** An encrypted file system, from the command line: made, mounted, scanned, lost, recovered. */
import assert from "node:assert/strict";
import { evictAll } from "../harness/life_cycle.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { requireCode, run, zeroEnvironment, zeroExecutable } from "../harness/zero_process.ts";

const PASSPHRASE = "canary7passphrase of mine";
const NAME = "canary7name-of-a-file";
const CONTENT = "canary7content of a file";

/** Types the passphrase into a terminal of its own at each prompt; prints what the terminal showed. */
const TYPIST = `
import os, pty, sys
# By their words: whatever else is written may hold a colon.
prompts = sys.argv[2].encode().split(b"|")
shown = b""
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[3], sys.argv[3:])
while True:
    try:
        part = os.read(fd, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if prompts and prompts[0] in shown:
        prompts.pop(0)
        os.write(fd, sys.argv[1].encode() + b"\\n")
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

Deno.test("an encrypted file system shows nothing in its bucket, and comes back with its recovery key", async () => {
  await using mount = await ScratchMount.create({ unmounted: true });
  const { directory, store, cache, mountpoint, storeDirectory } = mount;
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(`${directory}/${name}`, text, { mode: 0o600 });
    return `${directory}/${name}`;
  };
  const passphrase = await write("passphrase", `${PASSPHRASE}\n`);
  const wrong = await write("wrong", "something else\n");
  const places = ["--store", store, "--cache", cache];
  const type = (prompts: string, ...args: string[]) =>
    run("python3", ["-c", TYPIST, PASSPHRASE, prompts, zeroExecutable, ...args], {
      env: zeroEnvironment(directory),
      clearEnv: true,
    });
  const typed = await type("bring back): |once more: ", "init", "--encrypt", ...places);
  requireCode(typed, 0, "zero init --encrypt in a terminal");
  assert.match(typed.stdout, /New passphrase.*once more.*created encrypted file system/s);
  assert.ok(!typed.stdout.includes(PASSPHRASE), `echoed: ${typed.stdout}`);

  const refusal = await mount.zero(["mount", ...places, "--passphrase-file", wrong, mountpoint]);
  assert.equal(refusal.code, 6, refusal.stderr);
  assert.match(refusal.stderr, /the passphrase is wrong/);
  await mount.mount("--passphrase-command", `cat '${passphrase}'`);
  await mount.sh(
    `mkdir d && echo '${CONTENT}' > d/${NAME} && head -c 9000000 /dev/urandom > large`,
  );
  const sum = await mount.sh(`sha256sum d/* large`);
  await evictAll(mount);
  assert.equal(await mount.sh(`sha256sum d/* large`), sum);
  const pid = mount.daemonPid()!;
  for (const what of ["cmdline", "environ"]) {
    const text = await Deno.readTextFile(`/proc/${pid}/${what}`);
    assert.ok(!text.includes("canary7passphrase"), what);
  }
  // A mount that follows, with a cache that is still to be made, asks in the terminal, too.
  const reader = `${directory}/reader`;
  await Deno.mkdir(reader);
  const follower = ["--store", store, "--cache", `${directory}/reader-cache`];
  const follows = await type("Passphrase: ", "mount", "--read-only", ...follower, reader);
  requireCode(follows, 0, `a read-only mount in a terminal: ${follows.stdout}`);
  assert.equal((await run("cat", [`${reader}/d/${NAME}`])).stdout, `${CONTENT}\n`);
  await mount.zeroOk(["unmount", reader]);
  const status = await mount.zeroOk(["status", mountpoint]);
  assert.match(status.stdout, /^id +[0-9a-f]{32}, encrypted in the bucket$/m);
  const { problems } = await mount.json<{ problems: number }>(["fsck", "--deep", mountpoint]);
  assert.equal(problems, 0);
  await mount.unmount();
  // Without the key in the bucket the passphrase would bring nothing back, and a plain check says so.
  const keys = `${storeDirectory}/keys`;
  const fsck = () => mount.zero(["fsck", "--cache", cache]);
  assert.match((await fsck()).stdout, /^ok +the bucket holds the key/m);
  await Deno.rename(keys, `${directory}/keys`);
  const keyless = await fsck();
  assert.equal(keyless.code, 1, keyless.stderr);
  assert.match(keyless.stdout, /no wrapped key can be used.*zero key passphrase/);
  // The cache has kept it, and a repair puts it back.
  const repaired = await mount.zeroOk(["fsck", "--repair", "--cache", cache]);
  assert.match(repaired.stdout, /keys\/[0-9a-f]{32} was put back/);
  assert.match((await fsck()).stdout, /^ok +the bucket holds the key/m);
  const seen = await run("grep", ["-rlE", "canary7", storeDirectory]);
  assert.equal(seen.stdout, "", "no object holds a name or content");
  const told = await run("grep", ["-rl", "canary7passphrase", cache]);
  assert.equal(told.stdout, "", "neither cache nor log holds the passphrase");

  // The recovery key outlives passphrase and cache.
  const exported = await mount.zeroOk(
    ["key", "export", ...places, "--passphrase-file", passphrase],
  );
  const recovery = await write("recovery", exported.stdout);
  const next = await write("next", "another one\n");
  await mount.zeroOk([
    ...["key", "passphrase", ...places, "--passphrase-file", passphrase],
    ...["--new-passphrase-file", next],
  ]);
  await Deno.remove(cache, { recursive: true });
  await mount.zeroOk(["recover", ...places, "--recovery-key-file", recovery]);
  await mount.mount("--passphrase-file", next);
  assert.equal(await mount.sh(`sha256sum d/* large`), sum);
  await mount.unmount();
});
