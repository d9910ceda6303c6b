/**
 * A program that compares the files below a directory with the promises in a log, and prints one line
 * per broken promise, then a line `N files, M bytes`. Exit code 0 only where all were kept.
 *
 *     deno run -A checker.ts DIRECTORY LOG [zeros]
 */
import { breach, follow, type Model, readLog } from "./log.ts";

/** Of a file whose promise is broken, so much of its log is shown. */
const HISTORY_LINES = 12;

const [directory, log, zeros] = Deno.args;
const model: Model = new Map();
const history = readLog(log);
for (const line of history) follow(model, line);
let broken = 0;
let bytes = 0;
for (const [name, file] of model) {
  let actual: Uint8Array | undefined;
  let failure: string | undefined;
  try {
    actual = Deno.readFileSync(`${directory}/${name}`);
    bytes += actual.length;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) failure = `cannot be read: ${error}`;
  }
  failure ??= breach(file, actual, { zeros: zeros === "zeros" });
  if (failure === undefined) continue;
  broken++;
  console.log(`${name}: ${failure}`);
  const lines = history.filter((line) => "name" in line && line.name === name);
  for (const line of lines.slice(-HISTORY_LINES)) console.log(`    ${JSON.stringify(line)}`);
}
console.log(`${model.size} files, ${bytes} bytes`);
Deno.exit(broken === 0 ? 0 : 1);
