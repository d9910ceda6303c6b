/** `zero policy replay` and `zero policy trace` on a cache that nobody serves. */
import assert from "node:assert/strict";
import { policyReplayCommand, policyTraceCommand } from "../../src/cli/commands/policy_replay.ts";
import { policyCheckCommand } from "../../src/cli/commands/policy_preview.ts";
import type { CommandContext } from "../../src/cli/context.ts";
import type { ReplayReport } from "../../src/daemon/replay.ts";
import type { PolicyNote } from "../../src/daemon/policy_in_force.ts";
import { UserError } from "../../src/domain/errors.ts";
import { MiB } from "../../src/domain/units.ts";
import { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { data } from "../harness/law_test.ts";
import { withDirectory } from "../harness/scratch_directory.ts";
import { BUILT_IN_POLICY_TEXT } from "../../src/tiering/default_policy.ts";

const SIZE = 50_000;

/** A cache in which five files were read, in turns, `rounds` times; /keep/0 is one of them. */
function madeCache(directory: string, rounds: number): string {
  const fixture = new FilesystemFixture({ directory, traceRecords: 1000 });
  const keep = fixture.kernel.mkdir(1, { name: "keep" }).value.inode;
  const inodes = Array.from({ length: 5 }, (_, n) => fixture.saved(`f${n}`, data(n, SIZE)));
  fixture.kernel.rename(1, { name: "f0", newParent: keep, newName: "0" });
  fixture.core.uses.flush();
  for (let round = 0; round < rounds; round++) {
    for (const inode of inodes) {
      fixture.clock.pass(60_000);
      const file = { inode, handle: fixture.open(inode, 0) };
      fixture.closeFile(file);
    }
  }
  fixture.core.uses.flush();
  fixture.core.usage.flush();
  const target = 3 * SIZE;
  const note: PolicyNote = {
    file: "built-in policy",
    text: BUILT_IN_POLICY_TEXT,
    marks: { target, high: target, low: target * 0.8, hard: target * 1.2, minFree: 0 },
    upload: { afterMs: 1000, deadlineMs: 9000 },
    prices: {
      date: "2026-01-31",
      currency: "EUR",
      storedGbMonth: 0.006,
      egressGb: 1000,
      upload10k: 0,
      download10k: 0,
    },
  };
  Deno.writeTextFileSync(`${fixture.cache}/policy.json`, JSON.stringify(note));
  const { cache } = fixture;
  fixture.close({ clean: true });
  return cache;
}

/** A context that keeps what is printed. */
function printed(): { context: CommandContext; lines: string[] } {
  const lines: string[] = [];
  const context = { print: (text: string) => lines.push(...text.split("\n")) };
  return { context: context as unknown as CommandContext, lines };
}

const PINNED = `version: 1
disk: { target: 150kB }
rules:
  - { name: keep, match: { path: "/keep/**" }, keep: pinned }
  - { name: rest, match: {}, evict: allow }
`;

async function report(
  files: string[],
  options: Parameters<typeof policyReplayCommand>[2],
): Promise<ReplayReport> {
  const { context, lines } = printed();
  assert.equal(await policyReplayCommand(context, files, { ...options, json: true }), 0);
  return JSON.parse(lines.join("\n"));
}

const bytesOf = (cache: string) =>
  ["metadata.db", "history.db", "access.trace"].map((name) =>
    Deno.readFileSync(`${cache}/${name}`).toString()
  );

Deno.test(
  "a replay compares policies with the bounds on the same disk, knows names, and changes no byte",
  withDirectory(async (directory) => {
    const cache = madeCache(directory, 6);
    const before = bytesOf(cache);
    const policy = `${directory}/pinned.yaml`;
    Deno.writeTextFileSync(policy, PINNED);
    const { trace, rows, curve, currency } = await report([policy], { cache });
    assert.deepEqual(bytesOf(cache), before);
    assert.equal(trace.events, 5 + 6 * 5);
    assert.equal(trace.files, 5);
    assert.equal(trace.bytes, 5 * SIZE);
    assert.deepEqual(rows.map((row) => row.name), [policy, "LRU", "SIEVE", "Belady"]);
    assert.equal(currency, "EUR");
    const [pinned, lru, , belady] = rows.map((row) => row.result);
    assert.equal(pinned.reads, 30);
    // Going round and round is the worst for LRU; what is pinned is always here.
    assert.equal(lru.hits, 0);
    assert.ok(pinned.hits >= 6, `${pinned.hits} hits`);
    assert.ok(belady.hits > pinned.hits);
    assert.ok(lru.money! > belady.money!);
    assert.deepEqual(curve.at(-1)!.target, 5 * SIZE);
    const ratios = curve.map((row) => row.contenders.find(({ name }) => name === "Belady")!);
    assert.ok(
      ratios.every((each, index) => index === 0 || each.hitRatio >= ratios[index - 1].hitRatio),
    );
  }),
);

Deno.test(
  "without a file the policy in force is replayed; the table fits a terminal of 80 columns",
  withDirectory(async (directory) => {
    const cache = madeCache(directory, 3);
    const { context, lines } = printed();
    assert.equal(await policyReplayCommand(context, [], { cache }), 0);
    assert.match(lines.join("\n"), /on a disk of 146 KiB\n.*HITS.*\nbuilt-in policy +\d+\.\d%/);
    assert.match(lines.join("\n"), /hits by size of the disk\n/);
    for (const line of lines) assert.ok(line.length <= 80, `${line.length}: ${line}`);
    const larger = await report([], { cache, target: "1MiB" });
    assert.ok(larger.rows.every((row) => row.target === MiB && row.result.evictions === 0));
  }),
);

Deno.test(
  "a copy of the record holds the same accesses, replaces no file, and is replayed without its cache",
  withDirectory(async (directory) => {
    const cache = madeCache(directory, 4);
    const copy = `${directory}/shared.trace`;
    const { context, lines } = printed();
    assert.equal(await policyTraceCommand(context, undefined, { cache, export: copy }), 0);
    assert.match(lines[0], /^25 accesses to 5 files/);
    assert.match(lines[1], /^20 reads, 5 changes, 0 removals/);
    await assert.rejects(
      policyTraceCommand(printed().context, undefined, { cache, export: copy }),
      /exists already/,
    );
    const policy = `${directory}/pinned.yaml`;
    Deno.writeTextFileSync(policy, PINNED);
    const named = await report([policy], { cache });
    const nameless = await report([policy], { trace: copy });
    const both = await report([policy], { trace: copy, cache });
    assert.deepEqual(both, named);
    assert.deepEqual(nameless.trace, named.trace);
    const hits = ({ rows }: ReplayReport, at: number) => rows[at].result.hits;
    assert.equal(hits(nameless, 1), hits(named, 1));
    assert.notEqual(hits(nameless, 0), hits(named, 0));
    await assert.rejects(report([], { trace: copy }), /no policy was named/);
    await assert.rejects(report([policy], { trace: policy }), /this is not a trace/);
    await assert.rejects(report([policy], { cache, target: "0" }), /is no disk/);
    Deno.writeTextFileSync(policy, PINNED.replace("150kB", "80%"));
    await assert.rejects(
      report([policy], { trace: copy }),
      (error) => error instanceof UserError && /--target/.test(error.hint!),
    );
  }),
);

Deno.test(
  "check says what the bucket costs, beside the budget of the policy, and what undoing its plan would",
  withDirectory(async (directory) => {
    const cache = madeCache(directory, 1);
    const policy = `${directory}/budget.yaml`;
    Deno.writeTextFileSync(policy, `${PINNED}budget: { per_month: 0.00 EUR }\n`);
    const before = bytesOf(cache);
    const { context, lines } = printed();
    assert.equal(await policyCheckCommand(context, undefined, { cache, policy }), 10);
    const text = lines.join("\n");
    assert.match(text, /bringing back all that leaves would cost 0\.\d\d EUR/);
    assert.match(text, /bucket +\d+ KiB: 0\.00\d* EUR a month, in 30 days about 0\.00\d* EUR/);
    assert.match(text, /bucket +above the budget of 0\.00 EUR a month; nothing is kept from/);
    const json = printed();
    await policyCheckCommand(json.context, undefined, { cache, policy, json: true });
    const { cost, totals, warnings } = JSON.parse(json.lines.join("\n"));
    assert.deepEqual(warnings, []);
    assert.equal(cost.budget.exceeded, "now");
    assert.equal(totals.money.currency, "EUR");
    assert.deepEqual(bytesOf(cache), before);
  }),
);

Deno.test(
  "check warns of what the text alone does not show: a disk too small for both, pins above the mark, unused rules",
  withDirectory(async (directory) => {
    const cache = madeCache(directory, 1);
    const policy = `${directory}/narrow.yaml`;
    Deno.writeTextFileSync(
      policy,
      `version: 1
disk: { target: 100%, min_free: 10MiB }
rules:
  - { name: keep, match: { path: "/keep/**" }, keep: pinned }
  - { name: films, match: { path: "**/*.mov" }, evict: first }
`,
    );
    const warned = async () => {
      const { context, lines } = printed();
      await policyCheckCommand(context, undefined, { cache, policy });
      return lines.filter((line) => line.includes(": warning: ")).map((line) =>
        line.slice(policy.length + 1)
      );
    };
    const [minFree, unused, ...more] = await warned();
    assert.match(minFree, /^2:\d+: warning: a target of .* and 10 MiB left free are more than/);
    assert.equal(unused, "5:5: warning: rule 'films' matched no file");
    assert.deepEqual(more, []);
    Deno.writeTextFileSync(policy, PINNED.replace("150kB", "50kB"));
    assert.match(
      (await warned())[0],
      /^2:\d+: warning: what is pinned \(.*is more than the low mark/,
    );
  }),
);

Deno.test(
  "a record that is empty, or that is not kept, is said to be",
  withDirectory(async (directory) => {
    const cache = madeCache(directory, 0);
    Deno.removeSync(`${cache}/access.trace`);
    await assert.rejects(report([], { cache }), /cannot be read/);
    const fixture = new FilesystemFixture({ directory: `${directory}/other`, traceRecords: 10 });
    fixture.close({ clean: true });
    Deno.copyFileSync(`${fixture.cache}/access.trace`, `${cache}/access.trace`);
    await assert.rejects(report([], { cache }), /the trace holds no access/);
    const { context, lines } = printed();
    await policyTraceCommand(context, undefined, { cache });
    assert.deepEqual(lines, ["no access is recorded"]);
  }),
);
