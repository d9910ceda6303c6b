/**
 * Runs the gates and the test tiers, and counts.
 *
 *   deno run -A tools/test.ts TIER…     tidy | unit | integration | system | ok | all | soak
 *
 * `ok` is format, lint, type check, tidy, unit and integration; `all` adds system; `soak` is
 * unit, integration and system at full size (ZERO_SOAK=1). A tier that crashes, does not type-check, takes
 * too long or runs no test counts as failed. The very last line is `N passed, N failed` (with
 * `, N skipped` where there are any); the exit code is 0 only when nothing failed.
 *
 * It ends only the process groups that it started itself.
 */

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
}

const TIERS = ["tidy", "unit", "integration", "system"] as const;
type Tier = (typeof TIERS)[number];
type Step = "fmt" | "lint" | "check" | Tier;

/** What the type check reads. */
const CHECKED = ["main.ts", "src", "tests", "tools", "bench"];
const PLANS: Record<string, readonly Step[]> = {
  tidy: ["tidy"],
  unit: ["unit"],
  integration: ["integration"],
  system: ["system"],
  ok: ["fmt", "lint", "check", "tidy", "unit", "integration"],
  all: ["fmt", "lint", "check", "tidy", "unit", "integration", "system"],
  soak: ["unit", "integration", "system"],
};
const TIMEOUT_MINUTES: Record<Step, number> = {
  fmt: 2,
  lint: 2,
  check: 5,
  tidy: 3,
  unit: 10,
  integration: 15,
  // Some 17 on two idle processors: a busy machine is no reason to lose the run.
  system: 45,
};
const SOAK_TIMEOUT_MINUTES = 240;
const GRACE_BEFORE_KILL_MS = 10_000;

const root = new URL("..", import.meta.url).pathname;
const running = new Set<number>();

/** Runs `deno ARGUMENTS` in a process group of its own, output as it comes. True when it exits with 0 in time. */
async function deno(
  args: string[],
  options: { minutes: number; env?: Record<string, string> },
): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    // Colours are for a terminal; a log keeps the plain words.
    env: { ...Deno.stdout.isTerminal() ? {} : { NO_COLOR: "1" }, ...options.env },
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
    detached: true,
  }).spawn();
  running.add(child.pid);
  let late = false;
  let killTimer: ReturnType<typeof setTimeout> | undefined;
  const timer = setTimeout(() => {
    late = true;
    console.log(`not finished after ${options.minutes} minutes: deno ${args.join(" ")}`);
    signalGroup(child.pid, "SIGTERM");
    killTimer = setTimeout(() => signalGroup(child.pid, "SIGKILL"), GRACE_BEFORE_KILL_MS);
  }, options.minutes * 60_000);
  const status = await child.status;
  clearTimeout(timer);
  clearTimeout(killTimer);
  // Whatever the step left behind in its own group ends with it.
  signalGroup(child.pid, "SIGKILL");
  running.delete(child.pid);
  return status.success && !late;
}

function signalGroup(leader: number, signal: Deno.Signal): void {
  try {
    Deno.kill(-leader, signal);
  } catch (error) {
    // The group is gone: what we wanted.
    if (!(error instanceof Deno.errors.NotFound) && !isNoSuchProcess(error)) throw error;
  }
}

function isNoSuchProcess(error: unknown): boolean {
  return error instanceof Error && /ESRCH|No such process/.test(error.message);
}

/** Test files of a tier, relative to the root. */
function testFiles(directory: string): string[] {
  const found: string[] = [];
  const visit = (path: string) => {
    for (const entry of Deno.readDirSync(`${root}${path}`)) {
      if (entry.isDirectory) visit(`${path}/${entry.name}`);
      else if (entry.name.endsWith("_test.ts")) found.push(`${path}/${entry.name}`);
    }
  };
  try {
    visit(directory);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}

/** Reads the totals of a JUnit report; undefined where there is none that can be read. */
function readReport(path: string): Outcome | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  if (!text.includes("</testsuites>")) return undefined;
  const total: Outcome = { passed: 0, failed: 0, skipped: 0 };
  for (const [tag] of text.matchAll(/<testsuite\s[^>]*>/g)) {
    const count = (name: string) =>
      Number(new RegExp(`\\s${name}="(\\d+)"`).exec(tag)?.[1] ?? Number.NaN);
    const failed = count("failures") + count("errors");
    const skipped = count("disabled");
    const passed = count("tests") - failed - skipped;
    if (![failed, skipped, passed].every((n) => Number.isInteger(n) && n >= 0)) return undefined;
    total.failed += failed;
    total.skipped += skipped;
    total.passed += passed;
  }
  return total;
}

/**
 * As many modules as there are processors, each of which imports its share of the test files: a file in an
 * isolate of its own loads all of what it tests anew, which takes longer than most of the tests.
 */
async function bundles(files: string[], directory: string): Promise<string[]> {
  const count = navigator.hardwareConcurrency;
  const paths: string[] = [];
  for (let n = 0; n < count; n++) {
    const share = files.filter((_, index) => index % count === n);
    const path = `${directory}/${n + 1}_of_${count}_test.ts`;
    const url = (file: string) => new URL(`../${file}`, import.meta.url).href;
    await Deno.writeTextFile(path, share.map((file) => `import "${url(file)}";\n`).join(""));
    paths.push(path);
  }
  return paths;
}

/** Runs one tier's tests. Whatever keeps them from being counted counts as one failure. */
async function runTier(tier: Tier, options: { checked: boolean; soak: boolean }): Promise<Outcome> {
  const files = testFiles(`tests/${tier}`);
  if (files.length === 0) {
    console.log(`no test in tests/${tier}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const minutes = options.soak ? SOAK_TIMEOUT_MINUTES : TIMEOUT_MINUTES[tier];
  if (tier === "system" && Deno.env.get("ZERO_TEST_EXECUTABLE") === undefined) {
    if (!await deno(["run", "-A", "tools/compile.ts"], { minutes: 5 })) {
      console.log("the executable could not be built");
      return { passed: 0, failed: 1, skipped: 0 };
    }
  }
  const scratch = await Deno.makeTempDir({ prefix: "zero-test-" });
  const report = `${scratch}/report.xml`;
  try {
    const args = ["test", "-A", `--junit-path=${report}`, `--config=${root}deno.json`];
    if (options.checked) args.push("--no-check");
    // The other tiers share devices, ports and the machine's speed; unit tests share nothing.
    if (tier === "unit") args.push("--parallel");
    const env = options.soak ? { ZERO_SOAK: "1" } : undefined;
    const entries = tier === "unit" ? await bundles(files, scratch) : files;
    const good = await deno([...args, ...entries], { minutes, env });
    const outcome = readReport(report);
    if (outcome === undefined) return { passed: 0, failed: 1, skipped: 0 };
    if (!good && outcome.failed === 0) outcome.failed = 1;
    if (outcome.passed + outcome.failed === 0) outcome.failed = 1;
    return outcome;
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

async function runStep(step: Step, options: { checked: boolean; soak: boolean }): Promise<Outcome> {
  const gate = async (args: string[]): Promise<Outcome> => {
    const good = await deno(args, { minutes: TIMEOUT_MINUTES[step] });
    return { passed: good ? 1 : 0, failed: good ? 0 : 1, skipped: 0 };
  };
  switch (step) {
    case "fmt":
      return await gate(["fmt", "--check"]);
    case "lint":
      return await gate(["lint"]);
    case "check": {
      const present = CHECKED.filter((path) => exists(path) && hasTypeScript(path));
      return await gate(["check", ...present]);
    }
    default:
      return await runTier(step, options);
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(`${root}${path}`);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function hasTypeScript(path: string): boolean {
  if (path.endsWith(".ts")) return true;
  for (const entry of Deno.readDirSync(`${root}${path}`)) {
    if (entry.name.endsWith(".ts")) return true;
    if (entry.isDirectory && hasTypeScript(`${path}/${entry.name}`)) return true;
  }
  return false;
}

async function main(names: string[]): Promise<number> {
  const unknown = names.find((name) => !(name in PLANS));
  if (names.length === 0 || unknown !== undefined) {
    console.error(
      unknown === undefined ? "which tier?" : `unknown tier '${unknown}'`,
      `(${Object.keys(PLANS).join(", ")})`,
    );
    return 2;
  }
  const soak = names.includes("soak");
  const steps = [...new Set(names.flatMap((name) => PLANS[name]))];
  const total: Outcome = { passed: 0, failed: 0, skipped: 0 };
  const lines: string[] = [];
  let checked = false;
  for (const step of steps) {
    console.log(`\n== ${step}`);
    const started = performance.now();
    let outcome: Outcome;
    try {
      outcome = await runStep(step, { checked, soak });
    } catch (error) {
      console.log(error);
      outcome = { passed: 0, failed: 1, skipped: 0 };
    }
    if (step === "check") checked = outcome.failed === 0;
    total.passed += outcome.passed;
    total.failed += outcome.failed;
    total.skipped += outcome.skipped;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    lines.push(`${step.padEnd(12)} ${summary(outcome)} (${seconds} s)`);
  }
  console.log(`\n${lines.join("\n")}`);
  console.log(summary(total));
  return total.failed === 0 ? 0 : 1;
}

function summary(outcome: Outcome): string {
  const skipped = outcome.skipped > 0 ? `, ${outcome.skipped} skipped` : "";
  return `${outcome.passed} passed, ${outcome.failed} failed${skipped}`;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => {
    for (const leader of running) signalGroup(leader, "SIGKILL");
    Deno.exit(signal === "SIGINT" ? 130 : 143);
  });
}
Deno.exit(await main(Deno.args));
