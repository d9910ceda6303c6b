/** `zero policy lint` and `zero policy test`, as somebody types them. */
import assert from "node:assert/strict";

const root = new URL("../../", import.meta.url).pathname;

interface Ran {
  code: number;
  out: string;
  err: string;
}

async function zero(...args: string[]): Promise<Ran> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${root}main.ts`, ...args],
    cwd: `${root}policies`,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, out: text(output.stdout), err: text(output.stderr) };
}

async function withPolicy(text: string | Uint8Array, action: (file: string) => Promise<void>) {
  const file = await Deno.makeTempFile({ prefix: "zero-policy-", suffix: ".yaml" });
  try {
    await Deno.writeFile(file, typeof text === "string" ? new TextEncoder().encode(text) : text);
    await action(file);
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("zero policy lint says of each file whether it is valid, and ends with 0", async () => {
  const { code, out, err } = await zero("policy", "lint", "laptop.yaml", "minimal.yaml");
  assert.equal(err, "");
  assert.equal(out, "laptop.yaml: valid\nminimal.yaml: valid\n");
  assert.equal(code, 0);
});

Deno.test("zero policy lint prints place, line, caret and hint of a mistake, and ends with 2", async () => {
  await withPolicy(
    "version: 1\nrules:\n  - { name: a, match: { pth: /x }, keep: pinned }\n",
    async (file) => {
      const { code, out } = await zero("policy", "lint", "minimal.yaml", file);
      assert.equal(code, 2);
      assert.equal(
        out,
        `minimal.yaml: valid\n${file}:3:25: error: unknown key 'pth'\n` +
          "  3 |   - { name: a, match: { pth: /x }, keep: pinned }\n" +
          "    |                         ^^^\n" +
          "  hint: did you mean 'path'?\n",
      );
      const json = await zero("policy", "lint", "--json", file);
      assert.equal(json.code, 2);
      const [report] = JSON.parse(json.out);
      assert.equal(report.valid, false);
      assert.equal(report.problems[0].code, "unknown-key");
      assert.equal(report.problems[0].column, 25);
    },
  );
});

Deno.test("zero policy test prints TAP with coverage: 0 where all pass, 1 where one fails, 2 where it is not valid", async () => {
  const good = await zero("policy", "test", "minimal.yaml");
  assert.equal(good.code, 0);
  assert.match(good.out, /^TAP version 14\n1\.\.5\nok 1 - \/notes\.txt: evict by anything\n/);
  assert.match(good.out, /# rule anything \(line \d+\): 5 tests\n$/);
  await withPolicy(
    "version: 1\ntests:\n  - { given: { path: /x }, expect: keep }\n",
    async (file) => {
      const { code, out } = await zero("policy", "test", file);
      assert.equal(code, 1);
      assert.match(out, /not ok 1 - \/x: keep\n {2}---\n/);
      const json = await zero("policy", "test", "--json", file);
      assert.equal(json.code, 1);
      assert.equal(JSON.parse(json.out)[0].results[0].actual, "evict");
    },
  );
  await withPolicy("version: 9\n", async (file) => {
    const { code, out } = await zero("policy", "test", "minimal.yaml", file);
    assert.equal(code, 2);
    assert.match(out, /version '9' is not known/);
  });
});

Deno.test("a policy that cannot be read is named with the reason", async () => {
  const missing = await zero("policy", "lint", "nowhere.yaml");
  assert.equal(missing.code, 2);
  assert.match(missing.err, /policy 'nowhere\.yaml' cannot be read: there is no such file\nhint: /);
  await withPolicy(new Uint8Array([0xff, 0xfe, 0xfd]), async (file) => {
    const { code, err } = await zero("policy", "test", file);
    assert.equal(code, 2);
    assert.match(err, /not text in UTF-8/);
  });
  const none = await zero("policy");
  assert.equal(none.code, 2);
  assert.match(none.err, /a command is missing\nhint: see zero COMMAND --help/);
});
