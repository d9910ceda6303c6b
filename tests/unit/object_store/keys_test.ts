import assert from "node:assert/strict";
import fc, { runs } from "../../harness/properties.ts";
import {
  namesOfKey,
  objectOfName,
  segmentOfName,
} from "../../../src/object_store/directory_paths.ts";
import { compareKeys, keyFault } from "../../../src/object_store/keys.ts";
import { StoreError } from "../../../src/object_store/object_store.ts";

const versionId = "0".repeat(31) + "a";
const text = fc.string({ unit: "binary", maxLength: 60 });

Deno.test("keys are ordered by their bytes in UTF-8", () => {
  const encoder = new TextEncoder();
  fc.assert(fc.property(text, text, (a, b) => {
    const [x, y] = [encoder.encode(a), encoder.encode(b)];
    let expected = x.length - y.length;
    for (let i = 0; i < Math.min(x.length, y.length); i++) {
      if (x[i] !== y[i]) {
        expected = x[i] - y[i];
        break;
      }
    }
    assert.equal(Math.sign(compareKeys(a, b)), Math.sign(expected));
  }));
});

Deno.test("a directory store finds the key in the names that it made, and leaves no way out", () => {
  fc.assert(
    fc.property(text, (key) => {
      if (keyFault(key) !== undefined) return;
      let names;
      try {
        names = namesOfKey(key);
      } catch (error) {
        assert.ok(error instanceof StoreError && error.kind === "invalid");
        return;
      }
      const segments = names.directories.map((name) => segmentOfName(name)!);
      const object = objectOfName(`${names.file}@${versionId}`)!;
      assert.equal([...segments, object.segment].join("/"), key);
      assert.equal(object.versionId, versionId);
      for (const name of [...names.directories, names.file]) {
        assert.match(name, /^[A-Za-z0-9_%-][A-Za-z0-9_.%-]*$/);
      }
    }),
    runs(2000),
  );
});

Deno.test("names that a directory store did not make are no objects", () => {
  for (
    const name of [
      ".zero-store",
      "plain",
      "a@short",
      `a@${"A".repeat(32)}`,
      `a b@${versionId}`,
      `%61@${versionId}`,
      `%zz@${versionId}`,
      `%ff@${versionId}`,
      `%FF@${versionId}`,
      `.a@${versionId}`,
    ]
  ) assert.equal(objectOfName(name), undefined, name);
});
