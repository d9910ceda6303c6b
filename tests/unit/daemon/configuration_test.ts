import assert from "node:assert/strict";
import { UserError } from "../../../src/domain/errors.ts";
import { parseConfiguration } from "../../../src/daemon/configuration.ts";

function complaint(text: string): string {
  try {
    parseConfiguration(text, "c.yml");
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    assert.equal(error.exitCode, 2);
    return error.message;
  }
  assert.fail("nothing was complained of");
}

Deno.test("a configuration gives each setting with the place where it stands", () => {
  const { settings } = parseConfiguration(
    "store: file:///bucket\ndisk:\n  target: 80%\n  min_free: 1GiB\nupload:\n  parallel: 3\n",
    "c.yml",
  );
  assert.deepEqual(settings.store, { text: "file:///bucket", where: "c.yml:1:8" });
  assert.deepEqual(settings["disk.target"], { text: "80%", where: "c.yml:3:11" });
  assert.deepEqual(settings["upload.parallel"], { text: "3", where: "c.yml:6:13" });
});

Deno.test("an empty configuration is fine", () => {
  assert.deepEqual(parseConfiguration("", "c.yml").settings, {});
  assert.deepEqual(parseConfiguration("# nothing\n", "c.yml").settings, {});
});

Deno.test("an unknown key is named with its place and the nearest known one", () => {
  assert.equal(complaint("stor: x"), "c.yml:1:1: unknown key 'stor'; did you mean 'store'?");
  assert.equal(
    complaint("disk:\n  targt: 1GiB"),
    "c.yml:2:3: unknown key 'disk.targt'; did you mean 'disk.target'?",
  );
  assert.equal(complaint("something: 1"), "c.yml:1:1: unknown key 'something'");
});

Deno.test("every problem of a file is reported at once", () => {
  const lines = complaint("stor: x\ndisk:\n  target: 5XB\n  high: [1]\nupload: 3").split("\n");
  assert.equal(lines.length, 4);
  assert.ok(lines.some((line) => line.startsWith("c.yml:1:1: unknown key 'stor'")));
  assert.ok(lines.some((line) => line.startsWith("c.yml:3:11: disk.target: '5XB' is not a size")));
  assert.ok(lines.some((line) => line.startsWith("c.yml:4:9: disk.high: a list is not a size")));
  assert.ok(lines.some((line) => /^c\.yml:5:9: .*upload must be a group/.test(line)));
});

Deno.test("broken YAML is reported with line and column", () => {
  assert.match(complaint("store: [a\n"), /^c\.yml:\d+:\d+: /);
  assert.match(complaint("a: 1\na: 2\n"), /^c\.yml:2:1: /);
});

Deno.test("a configuration that is a list or a text is refused", () => {
  assert.match(complaint("- a"), /^c\.yml:1:1: a configuration is a group of keys/);
  assert.match(complaint("hello"), /^c\.yml:1:1: a configuration is a group of keys/);
});

Deno.test("the keys of the 2018 project mean what they meant", () => {
  const configuration = parseConfiguration(
    "accountId: abc\napplicationKey: def\nbucketId: 123\nsqliteFileLocation: /var/zero/state.db\n"
      .replace("123", '"123"') + "targetDiskUsage: 2\n",
    "c.yml",
  );
  assert.deepEqual(configuration.credentials, { keyId: "abc", key: "def" });
  assert.equal(configuration.bucketId?.text, "123");
  assert.equal(configuration.settings.cache?.text, "/var/zero");
  assert.equal(configuration.settings["disk.target"]?.text, "2GB");
});

Deno.test("an old key beside its new name is refused, and so is half a pair", () => {
  assert.match(complaint("targetDiskUsage: 2\ndisk: { target: 1GiB }"), /say the same/);
  assert.match(complaint("bucketId: a\nstore: b2://bucket"), /say the same/);
  assert.match(complaint("accountId: a"), /'accountId' needs 'applicationKey'/);
});
