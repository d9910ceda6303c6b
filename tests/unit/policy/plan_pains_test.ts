/** Named cases behind the properties: what users of other tiering systems ran into. */
import assert from "node:assert/strict";
import { formatBytes, GiB, MiB } from "../../../src/domain/units.ts";
import type { FileFacts, Usage } from "../../../src/policy/facts.ts";
import { Rules } from "../../../src/policy/outcome.ts";
import { plan } from "../../../src/policy/plan.ts";
import { compileReaders, countsAsUse, readerClass } from "../../../src/policy/readers.ts";
import { renderUnmet } from "../../../src/policy/unmet.ts";
import { DAY, file, HOUR, NOW, policyOf, usage } from "./helpers.ts";

const planOf = (facts: FileFacts[], disk: Usage, text = "") =>
  plan({ facts, usage: disk, policy: policyOf(text), now: NOW });
const files = (count: number, about: Partial<FileFacts> = {}) =>
  Array.from({ length: count }, () => file(about));
const count = (made: ReturnType<typeof planOf>, verdict: string) =>
  made.decisions.filter((each) => each.verdict === verdict).length;

Deno.test("P4: pinned, dirty, open and reserved bytes all count as used, and start a run", () => {
  const facts = [
    ...files(24, { pin: {} }),
    ...files(24, { dirty: true, dirtySinceMs: NOW, changedMs: NOW }),
    ...files(24, { open: true }),
    ...files(20),
  ];
  const calm = planOf(facts, usage());
  assert.equal(calm.totals.used, 92 * MiB);
  assert.equal(calm.totals.toFree, 0);
  // A recall that is under way takes the disk above the high mark before a byte of it has come.
  const { totals } = planOf(facts, usage({ reserved: 4 * MiB }));
  assert.equal(totals.used, 96 * MiB);
  assert.equal(totals.toFree, 96 * MiB - Math.floor(85 * MiB));
  assert.equal(totals.freed, 11 * MiB);
});

Deno.test("P4: bytes that are on their way off the disk are not freed a second time", () => {
  const facts = files(90);
  const { totals } = planOf(facts, usage({ leaving: 8 * MiB }));
  assert.equal(totals.used, 98 * MiB);
  assert.equal(totals.used - totals.freed, 85 * MiB);
});

Deno.test("P5: at the hard mark what writers wait for is freed, although it is not old enough", () => {
  const text = "evict: { min_residence: 1h, yields: [after, min_residence] }\n" +
    "rules: [{ name: rest, match: {}, evict: { after: 60d } }]\n";
  const used = files(60, { lastUsedMs: NOW - 2 * DAY });
  const copied = files(40, { createdMs: NOW - 60_000 });
  const made = planOf([...used, ...copied], usage(), text);
  assert.equal(made.unmet, undefined);
  assert.equal(count(made, "evict"), 15);
  // What was here before goes before what has just been copied.
  for (const { verdict, inode, reason } of made.decisions) {
    if (verdict !== "evict") continue;
    assert.ok(used.some((each) => each.inode === inode));
    assert.equal(reason, "after_yields");
  }
  const only = planOf(files(100, { createdMs: NOW - 60_000 }), usage(), text);
  assert.equal(only.unmet, undefined);
  assert.equal(only.decisions[0].reason, "residence_yields");
});

Deno.test("P5: where nothing may leave, the plan says what is in the way instead of trying for ever", () => {
  const facts = [
    ...files(70, { dirty: true, dirtySinceMs: NOW, changedMs: NOW }),
    ...files(30, { pin: {} }),
  ];
  const { unmet, totals } = planOf(facts, usage({ needed: 5 * MiB }));
  assert.equal(totals.freed, 0);
  assert.deepEqual(unmet!.holders, {
    dirty: { files: 70, bytes: 70 * MiB },
    pinned: { files: 30, bytes: 30 * MiB },
  });
  assert.equal(unmet!.later, false);
  assert.deepEqual(renderUnmet(unmet!), [
    `${formatBytes(totals.toFree)} cannot be freed:`,
    "      70 MiB  not in the bucket yet (70 files)",
    "      30 MiB  pinned (30 files)",
  ]);
});

Deno.test("P8: a scan by an indexer or a backup is no use, so it pushes nothing out", () => {
  const policy = policyOf(
    "readers:\n  - { comm: [updatedb, 'tracker-miner*'], recall: deny, heat: ignore }\n" +
      "  - { comm: restic, recall: stream, heat: ignore }\n",
  );
  const treat = compileReaders(policy.readers);
  assert.deepEqual(
    ["updatedb", "tracker-miner-f", "restic", "vim"].map((comm) => treat(comm).recall),
    ["deny", "deny", "stream", "allow"],
  );
  assert.deepEqual(
    ["updatedb", "restic", "vim"].map((comm) => countsAsUse(readerClass(treat(comm)))),
    [false, false, true],
  );
});

Deno.test("P8: a pass that reads every file once does not push out what is read again and again", () => {
  const hot = files(20, { lastUsedMs: NOW - 2 * DAY, heat: 12, heatAtMs: NOW - 2 * DAY });
  const scanned = files(80, { lastUsedMs: NOW - DAY, heat: 1, heatAtMs: NOW - DAY });
  const made = planOf([...hot, ...scanned], usage());
  for (const { verdict, inode } of made.decisions) {
    if (verdict === "evict") assert.ok(scanned.some((each) => each.inode === inode));
  }
  assert.equal(count(made, "evict"), 15);
});

Deno.test("P9: preview and act are one function: the plan does not depend on who asks", () => {
  const facts = files(99);
  const rules = new Rules(policyOf("rules: [{ name: all, match: {}, evict: allow }]\n"));
  const disk = usage();
  const previewed = plan({ facts, usage: disk, policy: rules, now: NOW });
  const acted = plan({ facts, usage: disk, policy: rules, now: NOW });
  assert.deepEqual(acted, previewed);
  assert.ok(
    previewed.decisions.every((each) => each.rule?.name === "all" && each.reason.length > 0),
  );
});

Deno.test("P9: a file that does not leave says why: the mark is reached, it is young, a rule keeps it …", () => {
  const text =
    "evict: { min_residence: 1h }\nrules: [{ name: w, match: { path: '/w/**' }, keep: pinned }]\n";
  const facts = [
    file({ size: 60 * MiB, lastUsedMs: NOW - 3 * DAY }),
    file({ size: 30 * MiB, lastUsedMs: NOW - DAY }),
    file({ createdMs: NOW - 60_000 }),
    file({ paths: ["/w/a"] }),
    file({ open: true, createdMs: NOW - 900 * DAY }),
    file({ confirmed: false, createdMs: NOW - 900 * DAY }),
    file({ pin: {}, createdMs: NOW - 900 * DAY }),
  ];
  const made = planOf(facts, usage({ running: true }), text);
  const said = (index: number) => {
    const { verdict, block, reason } = made.decisions.find((each) =>
      each.inode === facts[index].inode
    )!;
    return [verdict, block, reason];
  };
  assert.deepEqual(said(0), ["evict", undefined, "ranked"]);
  assert.deepEqual(said(1), ["keep", undefined, "reached"]);
  assert.deepEqual(said(2), ["keep", undefined, "too_young"]);
  assert.deepEqual(said(3), ["keep", undefined, "pinned_by_rule"]);
  assert.deepEqual(said(4), ["blocked", "open", "open"]);
  assert.deepEqual(said(5), ["blocked", "unconfirmed", "unconfirmed"]);
  assert.deepEqual(said(6), ["blocked", "pinned", "pinned_by_user"]);
});

Deno.test("P10: pinned bytes above the low mark are named, and no threshold goes below zero", () => {
  const facts = [...files(90, { paths: ["/Work/a"] }), ...files(20)];
  const made = planOf(
    facts,
    usage(),
    "rules: [{ name: w, match: { path: '/Work/**' }, keep: pinned }]\n",
  );
  assert.equal(count(made, "evict"), 20);
  assert.equal(made.totals.freed, 20 * MiB);
  assert.deepEqual(made.unmet, {
    missing: 5 * MiB,
    holders: { pinned: { files: 90, bytes: 90 * MiB } },
    limit: undefined,
    later: false,
  });
});

Deno.test("P10: the run starts above high, goes on between the marks, and stops at low", () => {
  const made = (mebibytes: number, running: boolean) =>
    planOf(files(mebibytes), usage({ running })).totals.toFree / MiB;
  assert.equal(made(95, false), 0);
  assert.equal(made(96, false), 11);
  assert.equal(made(95, true), 10);
  assert.equal(made(86, true), 1);
  assert.equal(made(85, true), 0);
  assert.equal(made(10, true), 0);
});

Deno.test("P10: min_free is kept whoever fills the disk", () => {
  const facts = files(50);
  const { totals } = planOf(facts, usage({ diskFree: GiB - 20 * MiB }));
  assert.equal(totals.toFree, 20 * MiB);
  assert.equal(totals.freed, 20 * MiB);
});

Deno.test("P10: heads that stay are not counted as freed", () => {
  const text = "rules: [{ name: films, match: {}, evict: first, keep_head: 4MiB }]\n";
  const facts = Array.from({ length: 10 }, () => file({ size: 10 * MiB }));
  const made = planOf(facts, usage(), text);
  assert.equal(count(made, "evict"), 3);
  assert.equal(made.totals.freed, 18 * MiB);
  const all = planOf(facts, usage({ target: 20 * MiB }), text);
  assert.equal(count(all, "evict"), 10);
  assert.deepEqual(all.unmet!.holders, { head: { files: 10, bytes: 40 * MiB } });
  assert.ok(all.decisions.every((each) => each.keepHead === 4 * MiB));
});

Deno.test("P10: max_per_run splits the work, and the plan says that the next run goes on", () => {
  const made = planOf(files(100), usage(), "evict: { max_per_run: 5MiB }\n");
  assert.equal(made.totals.freed, 5 * MiB);
  assert.equal(made.unmet!.missing, 10 * MiB);
  assert.equal(made.unmet!.limit, "max_per_run");
  assert.equal(made.unmet!.later, true);
  assert.deepEqual(made.unmet!.holders, { later: { files: 95, bytes: 95 * MiB } });
  const huge = planOf([file({ size: 100 * MiB })], usage(), "evict: { max_per_run: 5MiB }\n");
  assert.equal(huge.totals.freed, 100 * MiB);
});

Deno.test("P25: the breaker stops a mass eviction and says so", () => {
  const small = Array.from({ length: 1000 }, () => file({ size: 100_000 }));
  const made = planOf(small, usage({ target: 60 * MiB }), "evict: { breaker: { files: 20% } }\n");
  assert.equal(count(made, "evict"), 200);
  assert.equal(made.unmet!.limit, "breaker");
  assert.ok(made.decisions.some((each) => each.reason === "breaker"));
});

Deno.test("P19: an archive just unpacked brings old times along, and stays: mtime is not use", () => {
  const text =
    "evict: { min_residence: 1h }\nrules: [{ name: old, match: { idle: '>30d' }, evict: first }]\n";
  const unpacked = files(100, { createdMs: NOW - 10 * 60_000, changedMs: NOW - 900 * DAY });
  const made = planOf(unpacked, usage(), text);
  assert.equal(count(made, "evict"), 0);
  assert.deepEqual(made.unmet!.holders, { too_young: { files: 100, bytes: 100 * MiB } });
});

Deno.test("P19: what was brought back an hour ago is not thrown out again by its old age", () => {
  const text = "evict: { min_residence: 2h }\n";
  const back = files(50, { residentSinceMs: NOW - HOUR });
  const made = planOf([...back, ...files(50)], usage(), text);
  for (const { verdict, inode } of made.decisions) {
    if (verdict === "evict") assert.ok(back.every((each) => each.inode !== inode));
  }
});

Deno.test("a file with several names gets the strictest keep of them", () => {
  const text = `rules:
  - { name: work, match: { path: "/Work/**" }, keep: pinned }
  - { name: modules, match: { path: "**/node_modules/**" }, upload: never }
  - { name: films, match: { path: "/Films/**" }, evict: first }
  - { name: rest, match: {}, evict: { after: 60d } }
`;
  const rules = new Rules(policyOf(text));
  const outcome = (...paths: string[]) => rules.outcome(file({ paths }), NOW);
  assert.equal(outcome("/Films/a", "/Work/a").rule?.name, "work");
  assert.equal(outcome("/Films/a", "/Docs/a").rule?.name, "rest");
  assert.equal(outcome("/Films/a", "/Docs/a").first, false);
  assert.equal(outcome("/a/node_modules/a", "/b/node_modules/a").local, true);
  // One name wants it saved, the other wants it here: it is saved and stays.
  const mixed = outcome("/Docs/a", "/a/node_modules/a");
  assert.equal(mixed.local, false);
  assert.equal(mixed.pinnedUntilMs, Infinity);
});
