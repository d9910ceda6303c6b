/**
 * Contradictions in a policy that is well formed: rules that cannot be reached, marks in disorder,
 * pins that cannot hold. Claims only what is certain. Pure; `lintAgainst` also takes what only a
 * running file system knows.
 */
import { formatBytes } from "../domain/units.ts";
import { nearest } from "../domain/nearest.ts";
import { covers, globCovers, matchesNothing } from "./cover.ts";
import { resolveAmount } from "./marks.ts";
import type { Policy, Rule } from "./model.ts";
import type { Problem } from "./problems.ts";
import { printDuration } from "./quantities.ts";
import type { YamlSource } from "./yaml_source.ts";

type Path = readonly PropertyKey[];
interface Finding {
  code: string;
  message: string;
  hint: string;
  severity?: "warning";
}

class Findings {
  readonly problems: Problem[] = [];
  constructor(readonly source: YamlSource) {}
  at(path: Path, finding: Finding): void {
    this.problems.push(this.source.text.problem({ ...finding, ...this.source.spot(path) }));
  }
  /** The line in which `path` is written. */
  line(path: Path): number {
    return this.source.spot(path).line;
  }
}

/** Every contradiction that the text alone shows. `now` is for dates in the past. */
export function lint(
  policy: Policy,
  { source, now }: { source: YamlSource; now: number },
): Problem[] {
  const findings = new Findings(source);
  lintDisk(policy, findings);
  lintUpload(policy, findings);
  lintReaders(policy, findings);
  for (const rule of policy.rules) lintRule(rule, policy, { findings, now });
  lintNames(policy, findings);
  lintReach(policy, findings);
  lintTests(policy, findings);
  return findings.problems;
}

const percent = (share: number) => `${Math.round(share * 1000) / 10}%`;

function lintDisk({ disk }: Policy, findings: Findings): void {
  const order: Finding = {
    code: "marks",
    message: `the marks are in disorder: low ${percent(disk.low)}, high ${percent(disk.high)}, ` +
      `hard ${percent(disk.hard)}`,
    hint: "low < high < hard; what is not written is 85%, 95% and 100%",
  };
  if (disk.low >= disk.high) {
    findings.at(findings.source.has(["disk", "low"]) ? ["disk", "low"] : ["disk", "high"], order);
  } else if (disk.high >= disk.hard) {
    findings.at(findings.source.has(["disk", "hard"]) ? ["disk", "hard"] : ["disk", "high"], order);
  }
  const { target, minFree } = disk;
  if (target !== undefined && ("share" in target ? target.share : target.bytes) === 0) {
    findings.at(["disk", "target"], {
      code: "target",
      message: "a target of nothing leaves no room for any file",
      hint: "write what Zero may occupy, such as 200GiB or 80%",
    });
  }
  if (target !== undefined && minFree !== undefined && "share" in target && "share" in minFree) {
    if (target.share + minFree.share > 1 + 1e-9) {
      findings.at(["disk", "min_free"], {
        code: "min-free",
        message: `a target of ${percent(target.share)} and ${percent(minFree.share)} left free ` +
          "are more than the disk",
        hint: `at most ${percent(1 - target.share)} can stay free`,
      });
    }
  }
}

function lintUpload({ upload }: Policy, findings: Findings): void {
  const { afterMs, deadlineMs, bandwidth } = upload;
  if (afterMs !== undefined && deadlineMs !== undefined && deadlineMs < afterMs) {
    findings.at(["upload", "deadline"], {
      code: "deadline",
      message: `the deadline (${printDuration(deadlineMs)}) is before the quiet time ` +
        `(${printDuration(afterMs)}) is over`,
      hint: "make deadline longer than after",
    });
  }
  const always = bandwidth.findLastIndex((entry) => entry.at === undefined);
  for (let index = 0; index < always; index++) {
    findings.at(["upload", "bandwidth", index], {
      code: "unreachable-limit",
      message: "this limit never holds: a later one without 'at' replaces it",
      hint: "the last entry that holds wins; write the one without 'at' first",
    });
  }
}

/** The kernel cuts names of programs after so many bytes. */
const COMM_BYTES = 15;

function lintReaders({ readers }: Policy, findings: Findings): void {
  for (const [index, reader] of readers.entries()) {
    for (const [at, glob] of reader.comm.entries()) {
      const path = findings.source.has(["readers", index, "comm", at]) &&
          Array.isArray((findings.source.value as ReadersDocument).readers[index].comm)
        ? ["readers", index, "comm", at]
        : ["readers", index, "comm"];
      const letters = new TextEncoder().encode(glob.replace(/[*?[\]{}]/g, "")).length;
      if (letters > COMM_BYTES && !/[[{]/.test(glob)) {
        findings.at(path, {
          code: "reader-name",
          message: `no program is called '${glob}': the kernel keeps ${COMM_BYTES} bytes of a name`,
          hint: `write '${glob.replace(/\*+$/, "").slice(0, COMM_BYTES)}*'`,
        });
      }
      const earlier = readers.slice(0, index + 1).flatMap((other, number) =>
        (number < index ? other.comm : reader.comm.slice(0, at)).map((comm) => ({ comm, number }))
      ).find(({ comm }) => globCovers(comm, glob));
      if (earlier === undefined) continue;
      findings.at(path, {
        code: "overlapping-readers",
        message: `'${glob}' is never asked for here: '${earlier.comm}' in line ` +
          `${findings.line(["readers", earlier.number])} takes it`,
        hint: "the first reader that matches decides; put the special one first, or remove one",
      });
    }
    const says = (key: string) => findings.source.has(["readers", index, key]);
    if (!says("recall") && !says("heat")) {
      findings.at(["readers", index], {
        severity: "warning",
        code: "reader-says-nothing",
        message: "this reader is treated like any other",
        hint: "add recall: deny, recall: stream or heat: ignore; or recall: allow, if it shall " +
          "never be taken for a program that scans everything",
      });
    }
  }
}

interface ReadersDocument {
  readers: { comm: unknown }[];
}

function lintRule(
  rule: Rule,
  policy: Policy,
  { findings, now }: { findings: Findings; now: number },
): void {
  const path = (key: string) => ["rules", rule.index, key];
  if (rule.keep === undefined && !rule.local && rule.evict === undefined && rule.keepHead === 0) {
    findings.at(["rules", rule.index], {
      code: "rule-says-nothing",
      message: `rule '${rule.name}' says neither keep nor evict nor upload`,
      hint: "add keep: pinned, evict: first, evict: allow, evict: { after: 60d } or upload: never",
    });
  }
  if (rule.local && rule.evict !== undefined) {
    findings.at(path("evict"), {
      code: "local-evicted",
      message: "what is never uploaded can never be evicted: its only copy is here",
      hint: "remove 'evict', or 'upload: never'",
    });
  }
  if (rule.keep?.kind === "pinned" && rule.evict !== undefined) {
    findings.at(path("evict"), {
      code: "pinned-evicted",
      message: "what is pinned is never evicted",
      hint: "remove 'evict', or write keep: { pinned_until: DATE } for a pin that ends",
    });
  }
  if (rule.keepHead > 0 && (rule.local || rule.keep?.kind === "pinned")) {
    findings.at(path("keep_head"), {
      code: "head-of-kept",
      message: "the head of a file that is never evicted is no head",
      hint: "remove 'keep_head'",
    });
  }
  if (rule.evict?.kind === "after" && rule.evict.afterMs < policy.evict.minResidenceMs) {
    findings.at([...path("evict"), "after"], {
      code: "after-too-short",
      message: `after ${printDuration(rule.evict.afterMs)} is sooner than min_residence ` +
        `(${printDuration(policy.evict.minResidenceMs)}) allows`,
      hint: `write at least ${printDuration(policy.evict.minResidenceMs)}`,
    });
  }
  if (rule.keep?.kind === "pinned_until" && rule.keep.untilMs <= now) {
    findings.at([...path("keep"), "pinned_until"], {
      severity: "warning",
      code: "pin-over",
      message: "this pin has ended; its files may be evicted",
      hint: "remove the rule, or write a later date",
    });
  }
}

function lintNames({ rules }: Policy, findings: Findings): void {
  const seen = new Map<string, number>();
  for (const { name, index } of rules) {
    const first = seen.get(name);
    if (first === undefined) {
      seen.set(name, index);
      continue;
    }
    findings.at(["rules", index, "name"], {
      code: "duplicate-name",
      message: `line ${findings.line(["rules", first])} has a rule '${name}' already`,
      hint: "explanations tell rules by their names; give each its own",
    });
  }
}

function lintReach({ rules }: Policy, findings: Findings): void {
  for (const rule of rules) {
    if (matchesNothing(rule.match)) {
      findings.at(["rules", rule.index, "match"], {
        code: "unreachable-rule",
        message: `rule '${rule.name}' can match no file: its 'not' excludes all that it asks for`,
        hint: "make 'not' narrower",
      });
      continue;
    }
    const earlier = rules.slice(0, rule.index).find((other) => covers(other.match, rule.match));
    if (earlier === undefined) continue;
    findings.at(["rules", rule.index, "match"], {
      code: "unreachable-rule",
      message: `rule '${rule.name}' is never reached: '${earlier.name}' in line ` +
        `${earlier.place.line} matches all that it matches`,
      hint: "the first match wins; put the narrower rule first, or remove one of them",
    });
  }
}

function lintTests({ rules, tests, readers }: Policy, findings: Findings): void {
  for (const [index, test] of tests.entries()) {
    if (test.rule !== undefined && !rules.some((rule) => rule.name === test.rule)) {
      const near = nearest(test.rule, rules.map((rule) => rule.name));
      findings.at(["tests", index, "rule"], {
        code: "unknown-rule",
        message: `there is no rule '${test.rule}'`,
        hint: near === undefined
          ? `rules: ${rules.map((rule) => rule.name).join(", ") || "none"}`
          : `did you mean '${near}'?`,
      });
    }
    if (test.expect.kind === "reader" && test.given.reader === undefined) {
      findings.at(["tests", index, "expect"], {
        code: "test-without-reader",
        message: `'${test.expect.recall}' is an answer to a reader, and the test has none`,
        hint: `add reader: NAME to given${
          readers.length > 0 ? `, such as ${readers[0].comm[0]}` : ""
        }`,
      });
    }
    if (test.expect.kind === "verdict" && test.given.path === undefined) {
      findings.at(["tests", index, "given"], {
        code: "test-without-path",
        message: "this test has no file: path is missing",
        hint: "add path: /NAME to given",
      });
    }
  }
}

/** What only a running file system knows. */
export interface Surroundings {
  /** Size of the file system that holds the cache, bytes. */
  diskBytes: number;
  /** Bytes that rules and users pin, and bytes of class local. */
  pinnedBytes: number;
  localBytes: number;
  /** Rules that matched a file; undefined: nobody has looked. */
  matchedRules?: ReadonlySet<string>;
}

/** Contradictions between a policy and the file system that it is for: warnings. */
export function lintAgainst(
  policy: Policy,
  { source, surroundings }: { source: YamlSource; surroundings: Surroundings },
): Problem[] {
  const findings = new Findings(source);
  const { diskBytes, pinnedBytes, localBytes, matchedRules } = surroundings;
  const { target, minFree } = policy.disk;
  const targetBytes = target && resolveAmount(target, diskBytes);
  const minFreeBytes = minFree === undefined ? 0 : resolveAmount(minFree, diskBytes);
  const severity = "warning";
  if (targetBytes !== undefined && targetBytes + minFreeBytes > diskBytes) {
    findings.at(source.has(["disk", "min_free"]) ? ["disk", "min_free"] : ["disk", "target"], {
      severity,
      code: "min-free",
      message: `a target of ${formatBytes(targetBytes)} and ${formatBytes(minFreeBytes)} left ` +
        `free are more than the disk (${formatBytes(diskBytes)})`,
      hint: `lower target to ${formatBytes(Math.max(0, diskBytes - minFreeBytes))}`,
    });
  }
  const kept = pinnedBytes + localBytes;
  const low = targetBytes === undefined ? Infinity : targetBytes * policy.disk.low;
  if (kept > low) {
    findings.at(["disk", "target"], {
      severity,
      code: "pins-exceed-target",
      message: `what is pinned (${formatBytes(pinnedBytes)}) or local (${
        formatBytes(localBytes)
      }) is more than the low mark (${formatBytes(low)}), which can never be reached`,
      hint: `raise target to ${formatBytes(Math.ceil(kept / policy.disk.low))}, or pin less`,
    });
  }
  for (const rule of matchedRules === undefined ? [] : policy.rules) {
    if (matchedRules!.has(rule.name)) continue;
    findings.at(["rules", rule.index], {
      severity,
      code: "rule-unused",
      message: `rule '${rule.name}' matched no file`,
      hint: "look at its globs: paths start at the root of the mount",
    });
  }
  return findings.problems;
}
