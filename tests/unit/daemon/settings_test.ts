import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { UserError } from "../../../src/domain/errors.ts";
import { GiB, MiB } from "../../../src/domain/units.ts";
import {
  environmentName,
  parseValue,
  printValue,
  resolveMarks,
  type SettingName,
  SETTINGS,
  type SettingValues,
} from "../../../src/daemon/settings.ts";

const defaults = Object.fromEntries(
  (Object.keys(SETTINGS) as SettingName[]).map((name) => {
    const { kind, fallback } = SETTINGS[name];
    return [name, fallback === undefined ? undefined : parseValue(kind, fallback)];
  }),
) as unknown as SettingValues;

Deno.test("every default is a value of its kind, and prints", () => {
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const { kind, fallback } = SETTINGS[name];
    if (fallback === undefined) continue;
    assert.notEqual(printValue(kind, parseValue(kind, fallback)), "");
  }
});

Deno.test("environment names follow the settings' names", () => {
  assert.equal(environmentName("store"), "ZERO_STORE");
  assert.equal(environmentName("disk.min_free"), "ZERO_DISK_MIN_FREE");
});

Deno.test("wrong values are refused with the value and the way out", () => {
  const wrong: [Parameters<typeof parseValue>[0], string][] = [
    ["size", "5XB"],
    ["size", "-1"],
    ["amount", "101%"],
    ["amount", "80 percent"],
    ["duration", "30"],
    ["duration", "1y"],
    ["count", "0"],
    ["count", "1.5"],
    ["count", "1000"],
    ["rate", "2MiB"],
    ["rate", "1B/s"],
    ["path", ""],
    ["text", "a\0b"],
  ];
  for (const [kind, text] of wrong) {
    assert.throws(() => parseValue(kind, text), (error) => {
      assert.ok(error instanceof UserError && error.exitCode === 2, `${kind} ${text}`);
      return true;
    });
  }
});

Deno.test("the default marks suit every disk: low < high <= hard, and a bounded reserve", () => {
  fc.assert(fc.property(fc.integer({ min: GiB / 4, max: 2 ** 45 }), (diskBytes) => {
    const marks = resolveMarks(defaults, { diskBytes, minFreeMax: 10 * GiB });
    assert.ok(marks.low < marks.high && marks.high <= marks.hard);
    assert.ok(marks.minFree <= 10 * GiB);
    assert.ok(marks.hard + marks.minFree <= diskBytes);
  }));
});

Deno.test("marks that contradict each other are refused", () => {
  const options = { diskBytes: 100 * GiB, minFreeMax: 10 * GiB };
  const refused = (changes: Partial<SettingValues>, pattern: RegExp) =>
    assert.throws(() => resolveMarks({ ...defaults, ...changes }, options), pattern);
  refused({ "disk.low": { percent: 96 } }, /does not hold/);
  refused({ "disk.hard": { percent: 90 } }, /does not hold/);
  refused({ "disk.target": { bytes: MiB } }, /too little/);
  refused({ "disk.target": { bytes: 99 * GiB } }, /leaves less than disk\.min_free/);
});
