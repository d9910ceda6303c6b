import assert from "node:assert/strict";
import { ExitCode, UserError } from "../../../src/domain/errors.ts";
import { openObjectStore } from "../../../src/object_store/open_store.ts";
import {
  describeStore,
  formatStoreUrl,
  parseStoreUrl,
} from "../../../src/object_store/store_url.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { systemRandom } from "../../../src/runtime/random.ts";

Deno.test("store URLs are parsed into their parts, and printed back", () => {
  const cases: [string, ReturnType<typeof parseStoreUrl>][] = [
    ["memory:", { scheme: "memory" }],
    ["file:///mnt/usb/zero", { scheme: "file", path: "/mnt/usb/zero" }],
    ["file:///mnt/a%20b/%3F%23%25", { scheme: "file", path: "/mnt/a b/?#%" }],
    ["b2://my-bucket?region=us-west-004", {
      scheme: "b2",
      bucket: "my-bucket",
      prefix: "",
      endpoint: "https://s3.us-west-004.backblazeb2.com",
      region: "us-west-004",
    }],
    ["b2://my-bucket/home/me?endpoint=http://127.0.0.1:8080&region=us-west-004", {
      scheme: "b2",
      bucket: "my-bucket",
      prefix: "home/me",
      endpoint: "http://127.0.0.1:8080",
      region: "us-west-004",
    }],
    ["s3://bkt/a%20b?endpoint=https://s3.example.com&region=eu-1", {
      scheme: "s3",
      bucket: "bkt",
      prefix: "a b",
      endpoint: "https://s3.example.com",
      region: "eu-1",
    }],
  ];
  for (const [url, location] of cases) {
    assert.deepEqual(parseStoreUrl(url), location);
    assert.equal(formatStoreUrl(location), url);
    assert.deepEqual(parseStoreUrl(formatStoreUrl(location)), location);
  }
});

Deno.test("what does not matter in a URL is let pass", () => {
  const slashes = parseStoreUrl("b2://my-bucket/home/me/?region=us-west-004");
  assert.equal(describeStore(slashes), "b2://my-bucket/home/me");
  assert.deepEqual(parseStoreUrl("file:///mnt//usb/"), { scheme: "file", path: "/mnt/usb" });
});

Deno.test("the region comes from the endpoint where that tells it", () => {
  const b2 = parseStoreUrl("s3://bucket1?endpoint=https://s3.eu-central-003.backblazeb2.com/");
  assert.ok(b2.scheme === "s3");
  assert.equal(b2.region, "eu-central-003");
  assert.equal(b2.endpoint, "https://s3.eu-central-003.backblazeb2.com");
});

Deno.test("http is for addresses of this machine only", () => {
  for (const host of ["127.0.0.1", "127.9.8.7:99", "localhost:80", "[::1]:8080"]) {
    parseStoreUrl(`s3://bucket?endpoint=http://${host}&region=r`);
  }
  for (
    const host of ["example.com", "10.0.0.1", "127.0.0.1.example.com", "[::2]", "localhost.org"]
  ) {
    assert.throws(
      () => parseStoreUrl(`s3://bucket?endpoint=http://${host}&region=r`),
      /would send everything unprotected/,
    );
  }
});

Deno.test("a wrong URL is refused with its value and the way out", () => {
  const wrong: [string, RegExp][] = [
    ["/mnt/usb", /'\/mnt\/usb' is not the URL/],
    ["", /'' is not the URL/],
    ["ftp://host/x", /'ftp' is no kind of store/],
    ["file:relative", /'file:relative' does not name a directory by its full path/],
    ["file://host/path", /full path/],
    ["file:///", /root directory/],
    ["file:///a/../b", /'\.\.'/],
    ["file:///a%", /holds a '%'/],
    ["file:///a?b=c", /'\?' or '#'/],
    ["b2://my-bucket", /in which region/],
    ["s3://my-bucket?region=r", /which server/],
    ["s3://my-bucket?endpoint=https://h", /in which region/],
    ["b2://my-bucket?region=US West", /'US West' is not the name of a region/],
    ["b2://short?region=us-west-004", /'short' is not the name of a bucket/],
    ["b2://b2-reserved?region=us-west-004", /'b2-reserved' is not the name/],
    ["b2://my_bucket?region=us-west-004", /'my_bucket' is not the name/],
    [`b2://${"x".repeat(64)}?region=us-west-004`, /is not the name of a bucket/],
    ["b2://?region=us-west-004", /'' is not the name of a bucket/],
    ["b2://my-bucket/a//b?region=us-west-004", /'a\/\/b' is no valid prefix/],
    ["b2://my-bucket/a/../b?region=us-west-004", /'\.\.'/],
    ["b2://my-bucket/a%0ab?region=us-west-004", /control character/],
    [`b2://my-bucket/${"p/".repeat(500)}p?region=us-west-004`, /longer than 800 bytes/],
    ["b2://my-bucket?region=us-west-004&colour=red", /'colour' is no setting/],
    ["b2://my-bucket?region=a&region=b", /sets region twice/],
    ["s3://my-bucket?endpoint=ftp://h&region=r", /'ftp:\/\/h' is not an endpoint/],
    ["s3://my-bucket?endpoint=https://h/path&region=r", /more than a server/],
    [
      "b2://my-bucket?region=us-west-001&endpoint=https://s3.us-west-004.backblazeb2.com",
      /us-west-001.*us-west-004/,
    ],
    ["b2://my-bucket#x?region=r", /is not the URL/],
  ];
  for (const [url, message] of wrong) {
    assert.throws(() => parseStoreUrl(url), (error) => {
      assert.ok(error instanceof UserError, `${url}: ${error}`);
      assert.match(error.message, message, url);
      assert.equal(error.exitCode, ExitCode.usage);
      assert.ok(error.hint, `${url} has no hint`);
      return true;
    });
  }
});

Deno.test("credentials in a URL are refused and never repeated", () => {
  const canary = "K004canary";
  for (
    const url of [
      `b2://0040:${canary}@my-bucket?region=us-west-004`,
      `b2://0040:${canary}/my-bucket?region=us-west-004`,
      `s3://${canary}@bucket?endpoint=https://h&region=r`,
      `s3://bucket?endpoint=https://key:${canary}@host&region=r`,
      `s3://bucket?endpoint=https%3A%2F%2Fkey%3A${canary}%40host&region=r`,
      `s3://bucket?endpoint=https://h&region=r&secret=${canary}`,
      `s3://bucket?applicationKey=${canary}`,
      `b2://bucket1?access_key=${canary}&region=x`,
      `b2://bucket1?pepper=${canary}&region=x`,
    ]
  ) {
    assert.throws(() => parseStoreUrl(url), (error) => {
      assert.ok(error instanceof UserError);
      assert.ok(!Deno.inspect(error).includes(canary), `${url}: ${error.message}`);
      return true;
    });
  }
});

Deno.test("a bucket without credentials is refused before any call", async () => {
  const parts = { clock: systemClock, random: systemRandom };
  for (const credentials of [undefined, { keyId: "", applicationKey: "x" }]) {
    await assert.rejects(
      openObjectStore("b2://my-bucket?region=us-west-004", { ...parts, credentials }),
      /no credentials for b2:\/\/my-bucket$/,
    );
  }
});
