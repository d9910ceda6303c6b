/** What a user can write wrongly: named with its place and a hint; nothing is done. */
import assert from "node:assert/strict";
import { expectRefusal, snapshot } from "../harness/refusal.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";

Deno.test("a wrong configuration is refused with file, line, column and a hint", async (test) => {
  await using mount = await ScratchMount.create({ unmounted: true });
  const file = `${mount.directory}/zero.yml`;
  const cases: { name: string; text: string; line: RegExp }[] = [
    {
      name: "a misspelt key",
      text: "store: file:///s\nmuontpoint: /m\n",
      line: /zero\.yml:2:1: unknown key 'muontpoint'; did you mean 'mountpoint'\?$/,
    },
    {
      name: "a misspelt key in a group",
      text: "disk:\n  taget: 2GiB\n",
      line: /zero\.yml:2:3: unknown key 'disk\.taget'; did you mean 'disk\.target'\?$/,
    },
    {
      name: "a wrong unit",
      text: "disk: { target: 20 Gib }\n",
      line: /zero\.yml:1:17: disk\.target: .*20 Gib.*\(.*GiB.*\)$/,
    },
    {
      name: "a wrong duration",
      text: "recall:\n  timeout: 5 parsecs\n",
      line: /zero\.yml:2:12: recall\.timeout: .*5 parsecs.*\(.*\)$/,
    },
    {
      name: "a list where a value belongs",
      text: "store: [a, b]\n",
      line: /zero\.yml:1:8: store: a list is not a text$/,
    },
    { name: "no YAML", text: "store: 'file:///s\n", line: /zero\.yml:\d+:\d+: .*quote/i },
  ];
  for (const { name, text, line } of cases) {
    await test.step(name, async () => {
      await Deno.writeTextFile(file, text);
      const before = await snapshot(mount.directory);
      const args = ["mount", "--config", file, mount.mountpoint];
      const { stderr, stdout } = await mount.zeroOk(args, { code: 2 });
      assert.match(stderr.trimEnd(), line);
      assert.equal(stderr.split("\n").length, 2, `one line is wanted:\n${stderr}`);
      assert.equal(stdout, "");
      assert.equal(await snapshot(mount.directory), before);
    });
  }
  await test.step("a value that the environment gives wrongly names the variable", async () =>
    void await expectRefusal(
      mount,
      ["mount", "--store", mount.store, "--cache", mount.cache, mount.mountpoint],
      {
        env: { ZERO_DISK_TARGET: "much" },
        code: 2,
        reason: /ZERO_DISK_TARGET: .*much/,
      },
    ));
});

Deno.test("wrong command lines are refused with a suggestion", async (test) => {
  await using mount = await ScratchMount.create({ unmounted: true });
  const { store, cache, mountpoint } = mount;
  const cases: { args: string[]; reason: RegExp; hint: RegExp }[] = [
    { args: ["moutn"], reason: /unknown command 'moutn'/, hint: /did you mean mount\?/ },
    { args: ["statsu"], reason: /unknown command 'statsu'/, hint: /did you mean status\?/ },
    { args: ["quite-other"], reason: /unknown command/, hint: /zero --help/ },
    { args: ["mount", "--stroe", "x", "/m"], reason: /unknown option '--stroe'/, hint: /--store/ },
    { args: ["unmount"], reason: /missing required argument 'mountpoint'/, hint: /--help/ },
    { args: ["evict"], reason: /missing required argument 'path'/, hint: /--help/ },
    { args: ["unmount", "a", "b"], reason: /too many arguments/, hint: /--help/ },
    {
      args: ["mount", "--store", "ftp://host/x", mountpoint],
      reason: /'ftp' is no kind of store/,
      hint: /file:\/\/\//,
    },
    {
      args: ["mount", "--store", "/just/a/path", mountpoint],
      reason: /is not the URL of a store/,
      hint: /file:\/\/\/just\/a\/path/,
    },
    {
      args: ["mount", "--store", "b2://my-bucket/home", mountpoint],
      reason: /does not say in which region/,
      hint: /region=/,
    },
    { args: ["mount", mountpoint], reason: /store/, hint: /--store/ },
    {
      args: ["mount", "--store", store, "--cache", cache, "--disk-target", "3GB/s", mountpoint],
      reason: /--disk-target: .*3GB\/s/,
      hint: /GiB/,
    },
  ];
  for (const { args, reason, hint } of cases) {
    await test.step(`zero ${args.join(" ").replaceAll(mount.directory, "")}`, async () => {
      const before = await snapshot(mount.directory);
      await expectRefusal(mount, args, { code: 2, reason, hint });
      assert.equal(await snapshot(mount.directory), before);
    });
  }
  await test.step("a path that is on no mount", async () =>
    void await expectRefusal(mount, ["evict", `${mount.directory}/x`], {
      code: 1,
      reason: /x is not on a mounted file system of Zero/,
    }));
});
