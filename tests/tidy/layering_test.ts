/**
 * Imports point down only, and each outside thing has one folder. Reads what `deno info` sees from
 * main.ts and, for files that main.ts does not reach (yet), the import statements of every file in src.
 */
import assert from "node:assert/strict";
import { importsOf, root, sourceFiles } from "./source_tree.ts";

/** Folder → what it may import besides itself. `""` is main.ts. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  domain: [],
  runtime: ["domain"],
  fuse: ["runtime", "domain"],
  metadata: ["runtime", "domain"],
  content: ["runtime", "domain"],
  object_store: ["runtime", "domain"],
  format: ["runtime", "domain"],
  policy: ["runtime", "domain"],
  filesystem: ["fuse", "metadata", "content", "runtime", "domain"],
  tiering: [
    "policy",
    "filesystem",
    "fuse",
    "metadata",
    "content",
    "object_store",
    "format",
    "runtime",
    "domain",
  ],
  daemon: [
    "tiering",
    "policy",
    "filesystem",
    "fuse",
    "metadata",
    "content",
    "object_store",
    "format",
    "runtime",
    "domain",
  ],
  cli: ["daemon", "runtime", "domain"],
  "": ["cli"],
};

/** Outside things, and the only folders that may touch them. */
const OWNERS: { what: string; specifier: RegExp; folders: readonly string[] }[] = [
  { what: "SQLite", specifier: /^node:sqlite$/, folders: ["metadata"] },
  { what: "the S3 SDK", specifier: /^(npm:)?@(aws-sdk|smithy)\//, folders: ["object_store"] },
  { what: "the YAML parser", specifier: /^(npm:)?yaml(@|$)/, folders: ["policy", "daemon"] },
  { what: "the command line parser", specifier: /^(npm:)?commander(@|$)/, folders: ["cli"] },
  { what: "globs", specifier: /^(npm:)?picomatch(@|$)/, folders: ["policy"] },
  { what: "fast-check", specifier: /^(npm:)?fast-check(@|$)/, folders: [] },
];

function folderOf(path: string): string {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? "";
}

Deno.test("every folder of src has its place in the table of layers", () => {
  for (const file of sourceFiles(["src"])) {
    assert.ok(folderOf(file) in MAY_IMPORT, `${file}: no layer is named '${folderOf(file)}'`);
  }
});

Deno.test("the table of layers has no cycle", () => {
  const done = new Set<string>();
  const visit = (folder: string, above: string[]) => {
    assert.ok(!above.includes(folder), `cycle: ${[...above, folder].join(" → ")}`);
    if (done.has(folder)) return;
    for (const below of MAY_IMPORT[folder]) visit(below, [...above, folder]);
    done.add(folder);
  };
  for (const folder of Object.keys(MAY_IMPORT)) visit(folder, []);
});

Deno.test("imports in src point down only", () => {
  const wrong: string[] = [];
  for (const file of ["main.ts", ...sourceFiles(["src"])]) {
    const from = folderOf(file);
    for (const { specifier, resolved } of importsOf(file)) {
      // The version is read from where it is kept.
      if (resolved === undefined || resolved === "deno.json") continue;
      if (!resolved.startsWith("src/")) {
        wrong.push(`${file} imports ${specifier}, which is outside src`);
        continue;
      }
      const to = folderOf(resolved);
      if (to !== from && !MAY_IMPORT[from].includes(to)) {
        wrong.push(`${file}: ${from || "main.ts"} may not import ${to} (${specifier})`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("every Worker is started through workerUrl with an entry that exists", async () => {
  const wrong: string[] = [];
  for (const file of sourceFiles(["src"])) {
    const text = await Deno.readTextFile(root + file);
    if (/\bnew Worker\(\s*(?!workerUrl\()/.test(text)) wrong.push(`${file}: new Worker`);
    for (const { specifier, resolved } of importsOf(file)) {
      if (resolved !== undefined && !sourceFiles([resolved], "").includes(resolved)) {
        wrong.push(`${file}: ${specifier} does not exist`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("what deno resolves from main.ts points down only too", async () => {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "main.ts"],
    cwd: root,
    stdin: "null",
  }).output();
  assert.equal(output.code, 0, new TextDecoder().decode(output.stderr));
  const graph: {
    modules: {
      specifier: string;
      dependencies?: {
        specifier: string;
        code?: { specifier?: string };
        type?: { specifier?: string };
      }[];
    }[];
  } = JSON.parse(new TextDecoder().decode(output.stdout));
  const base = `file://${root}`;
  const wrong: string[] = [];
  let seen = 0;
  for (const module of graph.modules) {
    if (!module.specifier.startsWith(base)) continue;
    const file = module.specifier.slice(base.length);
    for (const dependency of module.dependencies ?? []) {
      const target = dependency.code?.specifier ?? dependency.type?.specifier;
      if (target === undefined || !target.startsWith(`${base}src/`)) continue;
      seen++;
      const [from, to] = [folderOf(file), folderOf(target.slice(base.length))];
      if (from !== to && !MAY_IMPORT[from]?.includes(to)) {
        wrong.push(`${file} → ${target.slice(base.length)}`);
      }
    }
  }
  assert.ok(seen > 0, "deno info showed no import at all");
  assert.deepEqual(wrong, []);
});

Deno.test("each outside thing is imported by its own folder only", () => {
  const wrong: string[] = [];
  for (const file of sourceFiles(["src"])) {
    for (const { specifier } of importsOf(file)) {
      for (const owner of OWNERS) {
        if (owner.specifier.test(specifier) && !owner.folders.includes(folderOf(file))) {
          wrong.push(`${file} imports ${specifier}: ${owner.what} belongs to ${owner.folders}`);
        }
      }
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("only fuse and runtime use FFI", async () => {
  const wrong: string[] = [];
  for (const file of sourceFiles(["src", "main.ts"])) {
    if (["fuse", "runtime"].includes(folderOf(file))) continue;
    if (/\bDeno\.(dlopen|Unsafe\w+)/.test(await Deno.readTextFile(root + file))) wrong.push(file);
  }
  assert.deepEqual(wrong, []);
});
