/** What the tidy tests share: the files of the project and their import statements. Reads only. */

/** The project's root directory, with a slash at its end. */
export const root = new URL("../..", import.meta.url).pathname;

const SKIPPED = new Set([".git", ".tools", "dist", "node_modules"]);

/** Files below the given paths (relative to the root) whose name ends in `extension`, sorted. */
export function sourceFiles(paths: string[], extension = ".ts"): string[] {
  const found: string[] = [];
  const visit = (path: string) => {
    let info: Deno.FileInfo;
    try {
      info = Deno.statSync(root + path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    if (info.isFile) {
      if (path.endsWith(extension)) found.push(path);
      return;
    }
    for (const entry of Deno.readDirSync(root + path)) {
      if (!SKIPPED.has(entry.name)) visit(`${path}/${entry.name}`.replace(/^\.\//, ""));
    }
  };
  for (const path of paths) visit(path);
  return found.sort();
}

export interface Import {
  specifier: string;
  /** Relative to the root; undefined for packages and built-in modules. */
  resolved: string | undefined;
}

const STATIC_IMPORT =
  /(?:^|\n)\s*(?:import|export)\s(?:[^;'"]*?\sfrom\s*)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)|\bworkerUrl\(\s*["']([^"']+)["']/g;

/** Static and dynamic imports of a file, type imports and Worker entries included. */
export function importsOf(file: string): Import[] {
  const text = Deno.readTextFileSync(root + file).replace(/^\s*(\/\*\*|\*|\/\/).*$/gm, "");
  const imports: Import[] = [];
  for (const match of text.matchAll(STATIC_IMPORT)) {
    const specifier = match[1] ?? match[2] ?? match[3];
    // A Worker's entry is named by its path below src, see src/runtime/worker_url.ts.
    const resolved = match[3] !== undefined
      ? `src/${match[3]}`
      : specifier.startsWith(".")
      ? new URL(specifier, `file:///${file}`).pathname.slice(1)
      : undefined;
    imports.push({ specifier, resolved });
  }
  return imports;
}
