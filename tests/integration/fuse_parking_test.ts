/** Requests that wait, interrupts and passthrough, on a real kernel. Needs root and /dev/fuse. */
import assert from "node:assert/strict";
import { mountObstacle, ServedMount } from "../harness/served_mount.ts";

const obstacle = mountObstacle();
if (obstacle !== undefined) console.log(`real mounts are not tested: ${obstacle}`);

Deno.test({
  name: "a read that waits holds up nobody else, and ends with its bytes",
  ignore: obstacle !== undefined,
  fn: async () => {
    await using mount = await ServedMount.serve();
    assert.equal((await mount.sh("echo cold > f; setfattr -n user.slow -v 1 f")).code, 0);
    const readers = Array.from({ length: 20 }, () => mount.sh("cat f"));
    await mount.said(/^parked 20$/m);
    const others = await mount.sh("echo warm > g; cat g; ls; stat -c %s f");
    assert.equal(others.stdout, "warm\nf\ng\n5\n");
    assert.equal((await mount.sh("setfattr -x user.slow f")).code, 0);
    for (const reader of await Promise.all(readers)) assert.equal(reader.stdout, "cold\n");
    assert.equal(await mount.unmount(), "end unmounted defects 0 destroyed 1");
  },
});

Deno.test({
  name: "a signal frees the process behind a read that waits",
  ignore: obstacle !== undefined,
  fn: async () => {
    await using mount = await ServedMount.serve();
    assert.equal((await mount.sh("echo cold > f; setfattr -n user.slow -v 1 f")).code, 0);
    const reader = new Deno.Command("cat", { args: [`${mount.directory}/f`] }).spawn();
    await mount.said(/^parked 1$/m);
    reader.kill("SIGTERM");
    assert.equal((await reader.status).signal, "SIGTERM");
    await mount.said(/^interrupted$/m);
    assert.equal(await mount.unmount(), "end unmounted defects 0 destroyed 1");
  },
});

Deno.test({
  name: "a file with a backing id is read and written straight in its backing file",
  ignore: obstacle !== undefined,
  fn: async () => {
    await using mount = await ServedMount.serve({ flags: ["--passthrough"] });
    const backing = Deno.makeTempFileSync({ prefix: "zero-backing-" });
    try {
      Deno.writeTextFileSync(backing, "from the disk");
      const script = `echo from memory > f; setfattr -n user.backing -v '${backing}' f; cat f
        printf FROM | dd of=f conv=notrunc status=none; cat f f`;
      const seen = await mount.sh(script);
      if (/Operation not permitted|Too many levels|I\/O error/.test(seen.stderr)) {
        console.log(`passthrough is not tested: ${seen.stderr.trim()}`);
        return;
      }
      assert.equal(seen.stderr, "");
      assert.equal(seen.stdout, "from the diskFROM the diskFROM the disk");
      assert.equal(Deno.readTextFileSync(backing), "FROM the disk");
    } finally {
      Deno.removeSync(backing);
    }
    assert.equal(await mount.unmount(), "end unmounted defects 0 destroyed 1");
  },
});
