import assert from "node:assert/strict";
import { type SettingName, SETTINGS } from "../../../src/daemon/settings.ts";

Deno.test("the README's table of settings is that of the program", async () => {
  const readme = await Deno.readTextFile(new URL("../../../README.md", import.meta.url));
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const { fallback, meaning } = SETTINGS[name];
    const cells = ["", `\`${name}\``, fallback === undefined ? "" : `\`${fallback}\``, meaning, ""];
    const row = readme.split("\n").map((line) => line.split("|").map((cell) => cell.trim()))
      .find((line) => line[1] === cells[1]);
    assert.deepEqual(row, cells, `the row of ${name}`);
  }
});
