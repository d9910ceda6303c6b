/** Habits that rot unless a machine checks them: sizes, headers, links, words that must not stay. */
import assert from "node:assert/strict";
import { root, sourceFiles } from "./source_tree.ts";

const LINES_MAX = 400;

Deno.test("no source file has more than 400 lines", async () => {
  const wrong: string[] = [];
  for (const file of sourceFiles(["main.ts", "src", "tools"])) {
    const lines = (await Deno.readTextFile(root + file)).split("\n").length - 1;
    if (lines > LINES_MAX) wrong.push(`${file}: ${lines} lines`);
  }
  assert.deepEqual(wrong, []);
});

Deno.test("every source file opens with a comment that says what it is for", async () => {
  const wrong: string[] = [];
  for (const file of sourceFiles(["main.ts", "src"])) {
    if (!/^(#!.*\n)?\/\*\*|^\/\/ /.test(await Deno.readTextFile(root + file))) wrong.push(file);
  }
  assert.deepEqual(wrong, []);
});

// Built from pieces, so that this file does not find itself.
const FORBIDDEN: { what: string; pattern: RegExp }[] = [
  {
    what: "an unfinished note",
    pattern: new RegExp(`\\b(${["TO", "FIX", "XX"].join("|")})(DO|ME|X)\\b`),
  },
  { what: "a focused test", pattern: new RegExp(`\\bDeno\\.test\\.${"on"}ly\\(|\\bonly: true`) },
  { what: "a silent catch", pattern: /catch\s*(\([^)]*\))?\s*\{\s*\}/ },
  {
    what: "a silent catch",
    pattern: /\.catch\(\s*\(\s*\w*\s*\)\s*=>\s*(\{\s*\}|undefined|null)\s*\)/,
  },
  { what: "a debugger statement", pattern: /^\s*debugger;/m },
];

Deno.test("no unfinished notes, focused tests or silent catches are left", async () => {
  const wrong: string[] = [];
  for (const file of sourceFiles(["main.ts", "src", "tests", "tools", "bench"])) {
    const text = await Deno.readTextFile(root + file);
    for (const { what, pattern } of FORBIDDEN) {
      if (what === "a silent catch" && file.startsWith("tests/")) continue;
      const match = pattern.exec(text);
      if (match !== null && !(what === "a silent catch" && isExplained(text, match.index))) {
        wrong.push(`${file}:${text.slice(0, match.index).split("\n").length}: ${what}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

/** Whether the line at `index`, or the one before, has a comment: then the catch is not silent. */
function isExplained(text: string, index: number): boolean {
  const before = text.slice(0, index).split("\n");
  const line = text.split("\n")[before.length - 1];
  // A pause that is aborted is over, and whoever paused looks at the signal next.
  if (/\bsleep\(.*\.catch\(/.test(line)) return true;
  if (/\/\/ \S/.test(line)) return true;
  return /^\s*(\/\/|\*)/.test(before[before.length - 2] ?? "");
}

Deno.test("every relative link in the documents leads somewhere", async () => {
  const wrong: string[] = [];
  for (const file of sourceFiles(["."], ".md")) {
    const text = (await Deno.readTextFile(root + file)).replace(/```[\s\S]*?```|`[^`\n]*`/g, "");
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)(?:\s"[^"]*")?\)/g)) {
      if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
      const [path, anchor] = target.split("#", 2);
      const resolved = path === "" ? file : new URL(path, `file:///${file}`).pathname.slice(1);
      if (!exists(root + resolved)) {
        wrong.push(`${file}: ${target}`);
      } else if (anchor !== undefined && resolved.endsWith(".md")) {
        if (!anchorsOf(await Deno.readTextFile(root + resolved)).has(anchor)) {
          wrong.push(`${file}: no heading for ${target}`);
        }
      }
    }
  }
  assert.deepEqual(wrong, []);
});

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of markdown.matchAll(/^#+\s+(.+)$/gm)) {
    anchors.add(
      heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-"),
    );
  }
  return anchors;
}
