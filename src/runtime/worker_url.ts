/**
 * Where a Worker's code lies, in every form that Zero runs in: from source (`deno run main.ts`), as a
 * `deno compile` executable (which holds the sources under their own paths), and as the
 * self-extracting executable (bundles that lie side by side, see tools/compile.ts).
 *
 * Every Worker is started with `new Worker(workerUrl("folder/entry.ts"), { type: "module" })`, with the
 * path below src written out: tools/compile.ts finds the entries by looking for such calls.
 */
export function workerUrl(entry: `${string}/${string}.ts`): URL {
  if (import.meta.url.endsWith("/runtime/worker_url.ts")) {
    return new URL(`../${entry}`, import.meta.url);
  }
  return new URL(bundledName(entry), import.meta.url);
}

/** The file name of a Worker's bundle, beside main.js. */
export function bundledName(entry: string): string {
  return entry.replaceAll("/", "-").replace(/\.ts$/, ".js");
}
