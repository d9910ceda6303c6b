/** What `zero policy check` shows and what the engine then does, file by file. */
import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import type { FactsRow } from "../../../src/metadata/facts_table.ts";
import type { Usage } from "../../../src/policy/facts.ts";
import { plan } from "../../../src/policy/plan.ts";
import { ActivePolicy } from "../../../src/tiering/active_policy.ts";
import { anyPolicy } from "../policy/helpers.ts";
import { CHUNK, withEngine } from "./engine_fixture.ts";

const CASES = 200;
const DAY = 86_400_000;
const FOREVER = new AbortController().signal;
const needs = { uses: false, xattrs: false };

const anySituation = fc.record({
  policy: anyPolicy,
  files: fc.array(
    fc.record({
      folder: fc.constantFrom("Work", "Video", "Trips/2026", "a/node_modules/b", "Docs"),
      ending: fc.constantFrom("mov", "txt", "jpg"),
      chunks: fc.integer({ min: 1, max: 3 }),
      // Never near a time at which a rule says otherwise: the act takes some seconds.
      days: fc.integer({ min: 0, max: 2880 }).map((hours) => (hours + 0.5) / 24),
      pinned: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, fc.boolean()),
    }),
    { minLength: 1, maxLength: 12, size: "max" },
  ),
  /** Of all that is here: what may stay, and from where on writers wait. */
  low: fc.double({ min: 0, max: 1, noNaN: true }),
  urgent: fc.boolean(),
});

Deno.test(`check and act agree file by file in ${CASES} generated cases`, async () => {
  let evictions = 0;
  let unmet = 0;
  await fc.assert(
    fc.asyncProperty(anySituation, async ({ policy: any, files, low, urgent }) => {
      // Limits of a run only say when the next one goes on; heads are kept as whole chunks.
      const evict = { ...any.evict, maxPerRun: Infinity, breaker: { files: 1, errors: 1 } };
      const active = new ActivePolicy({ ...any, evict });
      await withEngine(async (fixture) => {
        const { clock, random, filesystem, engine } = fixture;
        for (const [index, { folder, ending, chunks, days, pinned }] of files.entries()) {
          const file = filesystem.write(index + 2, random.bytes(chunks * CHUNK));
          file.path = `/${folder}/${index}.${ending}`;
          file.lastUsedMs = clock.wallMs() - Math.floor(days * DAY);
          file.pinned = pinned;
        }
        await clock.until(engine.sync({ inodes: "all", signal: FOREVER }));

        const { used } = filesystem;
        const lowBytes = Math.floor(used * low);
        const marks = {
          target: used,
          high: lowBytes,
          low: lowBytes,
          hard: urgent ? lowBytes : used + 1,
          minFree: 0,
        };
        const facts = await clock.until(
          filesystem.call("facts", { inodes: [...filesystem.files.keys()], needs }),
        );
        const usage: Usage = {
          marks,
          reserved: 0,
          leaving: 0,
          diskFree: Infinity,
          running: false,
          needed: 0,
          chunkSize: CHUNK,
        };
        const checked = plan({
          facts: (facts as FactsRow[]).map((row) => active.facts(row)),
          usage,
          policy: active.rules,
          now: clock.wallMs(),
        });
        const shown = checked.decisions.filter(({ verdict }) => verdict === "evict")
          .map(({ inode }) => inode);
        evictions += shown.length;
        if (checked.unmet !== undefined) unmet++;

        Object.assign(filesystem.marks, marks);
        filesystem.emit({ event: "pressure", used, needed: 0, waiting: 0 });
        await clock.advance(3_000);
        const gone = [...filesystem.files.values()]
          .filter((file) => [...file.chunks.values()].some(({ resident }) => !resident))
          .map(({ inode }) => inode);
        assert.deepEqual(gone.sort((a, b) => a - b), shown.sort((a, b) => a - b));
      }, { policy: active });
    }),
    { numRuns: CASES },
  );
  assert.ok(evictions > CASES / 2, `only ${evictions} evictions were compared`);
  assert.ok(unmet > 5, `only ${unmet} plans could not reach their mark`);
});
