import assert from "node:assert/strict";
import { parsePolicy, withPolicy } from "../../../src/daemon/effective_policy.ts";
import { UserError } from "../../../src/domain/errors.ts";
import { GiB, MiB } from "../../../src/domain/units.ts";
import { explainSettings, resolveSettings } from "../../../src/daemon/resolve_settings.ts";
import { absolutePath, defaultCacheDirectory } from "../../../src/daemon/user_directories.ts";

const sources = (
  commandLine: Record<string, string>,
  variables: Record<string, string> = {},
) => ({
  commandLine,
  configurationPath: undefined,
  environment: (name: string) => variables[name],
  workingDirectory: "/work-dir",
});

Deno.test("the command line counts before the environment, and that before the default", () => {
  const environment = { ZERO_STORE: "file:///env", ZERO_UPLOAD_AFTER: "5s" };
  const both = resolveSettings(sources({ store: "file:///flag", cache: "c" }, environment));
  assert.equal(both.values.store, "file:///flag");
  assert.equal(both.values.cache, "/work-dir/c");
  assert.equal(both.values["upload.after"], 5000);
  assert.equal(both.values["upload.deadline"], 15 * 60_000);
  assert.equal(both.origins.store, "command line (--store)");
  assert.equal(both.origins["upload.after"], "environment (ZERO_UPLOAD_AFTER)");
  assert.equal(both.origins["upload.deadline"], "default");
});

Deno.test("a wrong value names where it came from", () => {
  assert.throws(
    () => resolveSettings(sources({}, { ZERO_RECALL_PARALLEL: "many" })),
    /^UserError: ZERO_RECALL_PARALLEL: 'many' is not a number/,
  );
  assert.throws(
    () => resolveSettings(sources({ "disk.target": "9" + "9".repeat(30) })),
    /--disk-target: .* too large/,
  );
});

Deno.test("a policy stands between the configuration and the defaults", () => {
  const settings = resolveSettings(
    sources({ "disk.low": "60%", policy: "p.yml" }, { ZERO_UPLOAD_AFTER: "5s" }),
  );
  assert.equal(settings.values.policy, "/work-dir/p.yml");
  const text = "version: 1\ndisk: { target: 2GiB, low: 70%, high: 90%, min_free: 7% }\n" +
    "upload: { after: 9s, deadline: 20m, bandwidth: [{ limit: 2MiB/s }] }\n" +
    "rules: [{ name: all, match: {}, evict: allow }]\n";
  const { values, origins } = withPolicy(settings, parsePolicy(text, "p.yml"));
  assert.deepEqual(values["disk.target"], { bytes: 2 * GiB });
  assert.deepEqual(values["disk.high"], { percent: 90 });
  assert.deepEqual(values["disk.min_free"], { percent: 7 });
  assert.deepEqual(values["disk.low"], { percent: 60 });
  assert.equal(values["upload.after"], 5_000);
  assert.equal(values["upload.deadline"], 20 * 60_000);
  assert.equal(values["upload.bandwidth"], 2 * MiB);
  assert.equal(origins["disk.high"], "policy (p.yml)");
  assert.equal(origins["disk.hard"], "default");
  assert.match(origins["disk.low"]!, /^command line/);
  assert.match(origins["upload.after"]!, /^environment/);
});

Deno.test("a wrong policy is refused with every error and its place", () => {
  assert.throws(() => parsePolicy("version: 1\nrule: []\nrules: 3\n", "p.yml"), (error) => {
    assert.ok(error instanceof UserError);
    assert.equal(error.exitCode, 2);
    assert.match(error.message, /^p\.yml:2:1: error: unknown key 'rule'/m);
    assert.match(error.message, /^p\.yml:3:8: error: /m);
    return true;
  });
});

Deno.test("credentials come from the pair of the store's own kind", () => {
  const variables = {
    B2_APPLICATION_KEY_ID: "b2id",
    B2_APPLICATION_KEY: "b2key",
    AWS_ACCESS_KEY_ID: "awsid",
    AWS_SECRET_ACCESS_KEY: "awskey",
  };
  const keyId = (store: string) =>
    resolveSettings(sources({ store, cache: "/c" }, variables)).credentials?.keyId;
  assert.equal(keyId("b2://bucket/x"), "b2id");
  assert.equal(keyId("s3://bucket/x"), "awsid");
  assert.equal(keyId("file:///x"), undefined);
  assert.throws(
    () =>
      resolveSettings(sources({ store: "b2://bucket", cache: "/c" }, { B2_APPLICATION_KEY: "k" })),
    /B2_APPLICATION_KEY is set, but B2_APPLICATION_KEY_ID is not/,
  );
});

Deno.test("what is explained holds no secret", () => {
  const settings = resolveSettings(
    sources({ store: "b2://bucket/x", cache: "/c" }, {
      B2_APPLICATION_KEY_ID: "the-id",
      B2_APPLICATION_KEY: "the-secret",
    }),
  );
  const text = JSON.stringify(explainSettings(settings));
  assert.ok(!text.includes("the-secret") && !text.includes("the-id"));
  assert.ok(text.includes("b2://bucket/x"));
});

Deno.test("paths are made absolute without following anything", () => {
  const environment = (name: string) => name === "HOME" ? "/home/u" : undefined;
  const absolute = (path: string) => absolutePath(path, { base: "/base", environment });
  assert.equal(absolute("~/a/../b"), "/home/u/b");
  assert.equal(absolute("x//y/."), "/base/x/y");
  assert.equal(absolute("/../.."), "/");
  assert.equal(
    defaultCacheDirectory("b2://bucket/a/b?region=us-west-004", environment),
    "/home/u/.local/share/zero/b2-bucket-a-b",
  );
});
