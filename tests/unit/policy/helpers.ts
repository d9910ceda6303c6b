/** What tests on policies share: facts, disks, policies, arbitrary ones too. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { GiB, MiB } from "../../../src/domain/units.ts";
import type { FileFacts, Usage } from "../../../src/policy/facts.ts";
import { loadPolicy } from "../../../src/policy/load.ts";
import type { Policy } from "../../../src/policy/model.ts";

export const DAY = 86_400_000;
export const HOUR = 3_600_000;
export const NOW = Date.UTC(2026, 5, 15, 12);
export const CHUNK = 4 * MiB;

/** A policy that has to be valid. */
export function policyOf(text: string): Policy {
  const { policy, problems } = loadPolicy(`version: 1\n${text}`, { file: "p.yaml", now: NOW });
  assert.ok(policy !== undefined, problems.map((each) => each.message).join("\n"));
  return policy;
}

let inodes = 0;

/** A clean, confirmed, closed file of 1 MiB that was created, and used, a year ago. */
export function file(about: Partial<FileFacts> = {}): FileFacts {
  const size = about.size ?? MiB;
  const charge = Math.ceil(size / 4096) * 4096;
  const createdMs = about.createdMs ?? NOW - 365 * DAY;
  const inode = about.inode ?? ++inodes;
  return {
    inode,
    paths: [`/f${inode}`],
    size,
    allocated: charge,
    resident: charge,
    dirty: false,
    open: false,
    confirmed: true,
    createdMs,
    residentSinceMs: createdMs,
    lastUsedMs: createdMs,
    changedMs: createdMs,
    heat: 1,
    heatAtMs: about.lastUsedMs ?? createdMs,
    uid: 1000,
    gid: 1000,
    links: about.paths?.length ?? 1,
    ...about,
  };
}

/** A disk with a target of `target` bytes and room for others. */
export function usage(about: Partial<Usage> & { target?: number } = {}): Usage {
  const { target = 100 * MiB, ...rest } = about;
  return {
    marks: {
      target,
      high: Math.floor(target * 0.95),
      low: Math.floor(target * 0.85),
      hard: target,
      minFree: GiB,
    },
    reserved: 0,
    leaving: 0,
    diskFree: 100 * GiB,
    running: false,
    needed: 0,
    chunkSize: CHUNK,
    ...rest,
  };
}

/** Any file, in any state that the file system allows. */
export const anyFile: fc.Arbitrary<FileFacts> = fc.record({
  folder: fc.constantFrom("Work", "Video", "Trips/2026", "a/node_modules/b", "Docs"),
  ending: fc.constantFrom("mov", "mkv", "txt", "jpg"),
  secondFolder: fc.option(fc.constantFrom("Work", "Docs", "x/node_modules"), { freq: 8 }),
  size: fc.oneof(fc.nat(20 * MiB), fc.nat(8192), fc.constant(0)),
  residentShare: fc.oneof(
    fc.constant(1),
    fc.constant(0),
    fc.double({ min: 0, max: 1, noNaN: true }),
  ),
  dirty: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, fc.boolean()),
  open: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, fc.boolean()),
  confirmed: fc.oneof({ weight: 6, arbitrary: fc.constant(true) }, fc.boolean()),
  pin: fc.option(fc.record({ untilMs: fc.option(days(-30, 30), { nil: undefined }) }), {
    freq: 6,
    nil: undefined,
  }),
  ageDays: fc.double({ min: 0.001, max: 400, noNaN: true }),
  recalledShare: fc.double({ min: 0, max: 1, noNaN: true }),
  idleShare: fc.double({ min: 0, max: 1, noNaN: true }),
  changedShare: fc.double({ min: 0, max: 1, noNaN: true }),
  heat: fc.double({ min: 0.01, max: 50, noNaN: true }),
}).map((about) => {
  const allocated = Math.ceil(about.size / 4096) * 4096;
  const part = Math.ceil(about.residentShare * allocated / 4096) * 4096;
  const createdMs = Math.floor(NOW - about.ageDays * DAY);
  const since = (share: number) => Math.floor(NOW - about.ageDays * DAY * share);
  const lastUsedMs = since(about.idleShare);
  const inode = ++inodes;
  const name = `f${inode}.${about.ending}`;
  return file({
    inode,
    paths: [
      `/${about.folder}/${name}`,
      ...(about.secondFolder === null ? [] : [`/${about.secondFolder}/${name}`]),
    ],
    size: about.size,
    allocated,
    resident: part,
    dirty: about.dirty && part > 0,
    dirtySinceMs: since(about.changedShare),
    open: about.open,
    confirmed: about.confirmed,
    pin: about.pin,
    createdMs,
    residentSinceMs: since(about.recalledShare),
    lastUsedMs,
    changedMs: since(about.changedShare),
    heat: about.heat,
    heatAtMs: lastUsedMs,
  });
});

function days(min: number, max: number): fc.Arbitrary<number> {
  return fc.integer({ min: min * 24, max: max * 24 }).map((hours) => NOW + hours * HOUR);
}

/** Any policy that the language allows, built from parts that interact. */
export const anyPolicy: fc.Arbitrary<Policy> = fc.record({
  rules: fc.uniqueArray(
    fc.constantFrom(
      `{ name: work, match: { path: "/Work/**" }, keep: pinned }`,
      `{ name: trip, match: { path: "/Trips/2026/**" }, keep: { pinned_until: 2026-07-01 } }`,
      `{ name: over, match: { path: "/Video/**" }, keep: { pinned_until: 2026-01-01 } }`,
      `{ name: modules, match: { path: "**/node_modules/**" }, upload: never }`,
      `{ name: films, match: { path: "**/*.{mkv,mov}", idle: ">14d" }, evict: first, keep_head: 4MiB }`,
      `{ name: big, match: { size: ">5MiB" }, evict: { after: 30d } }`,
      `{ name: hot, match: { heat: ">=4" }, evict: { after: 5d } }`,
      `{ name: text, match: { name: "*.txt", not: { path: "/Docs/**" } }, evict: allow }`,
    ),
    { minLength: 0, maxLength: 6 },
  ),
  rest: fc.constantFrom("", `{ name: rest, match: {}, evict: { after: 60d } }`),
  residence: fc.constantFrom("0", "1h", "3d"),
  yields: fc.constantFrom("[]", "[after]", "[after, min_residence]", "[min_residence, after]"),
}).map(({ rules, rest, residence, yields }) => {
  const all = [...rules, ...(rest === "" ? [] : [rest])];
  return policyOf(
    `evict: { min_residence: ${residence}, yields: ${yields} }\n` +
      (all.length === 0 ? "" : `rules:\n${all.map((each) => `  - ${each}\n`).join("")}`),
  );
});
