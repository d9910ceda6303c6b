/** Walks over pages end, whatever the pages say. */
import assert from "node:assert/strict";
import { InvariantError } from "../../../src/domain/errors.ts";
import { pages } from "../../../src/tiering/pages.ts";
import { loadPolicy } from "../../../src/policy/load.ts";
import { ActivePolicy } from "../../../src/tiering/active_policy.ts";
import { CHUNK, withEngine } from "./engine_fixture.ts";

type Place = { rank: number; inode: number };
const placeOf = ({ rank, inode }: Place) => [rank, inode];

async function walk(places: (Place | undefined)[]): Promise<number> {
  let asked = 0;
  const ask = () => Promise.resolve({ next: places[Math.min(asked++, places.length - 1)] });
  for await (const _ of pages("the queue", placeOf, ask));
  return asked;
}

Deno.test("a walk goes on page by page to the one that names no next", async () => {
  const at = (rank: number, inode: number) => ({ rank, inode });
  assert.equal(await walk([at(1, 5), at(1, 6), at(2, 1), at(Infinity, 1), undefined]), 5);
  assert.equal(await walk([at(-Infinity, 5), at(1, 1), undefined]), 3);
});

Deno.test("a page that names the same place again, or an earlier one, ends the walk with an error", async () => {
  for (
    const [first, second] of [
      [{ rank: 1, inode: 5 }, { rank: 1, inode: 5 }],
      [{ rank: 2, inode: 5 }, { rank: 1, inode: 9 }],
      [{ rank: 2, inode: 5 }, { rank: 2, inode: 4 }],
      [{ rank: 2, inode: 5 }, { rank: NaN, inode: 6 }],
    ]
  ) {
    await assert.rejects(walk([first, second]), (error) => {
      assert.ok(error instanceof InvariantError);
      assert.match(error.message, /the queue stands still at /);
      return true;
    });
  }
});

Deno.test("pages that never end stop neither sorting nor eviction for good: it is logged, and they go on", async () => {
  const policy = new ActivePolicy(
    loadPolicy("version: 1\nrules: [{ name: all, match: {}, evict: allow }]", {
      file: "p.yaml",
      now: 0,
    }).policy!,
  );
  await withEngine(async ({ clock, engine, filesystem, random, log }) => {
    for (let inode = 2; inode < 8; inode++) filesystem.write(inode, random.bytes(CHUNK));
    await clock.until(engine.sync({ inodes: "all", signal: new AbortController().signal }));
    const call = filesystem.call.bind(filesystem);
    let asked = 0;
    const broken: typeof filesystem.call = async (command, argument) => {
      if (command === "unsorted" && asked++ < 3) {
        const place = { news: 0, dueMs: 0, changed: 1, woken: { wakeMs: 0, inode: 0 } };
        return { facts: [], next: place } as never;
      }
      return await call(command, argument);
    };
    filesystem.call = broken;
    Object.assign(filesystem.marks, { high: 4 * CHUNK, low: 2 * CHUNK, hard: 100 * CHUNK });
    filesystem.emit({ event: "pressure", used: 6 * CHUNK, needed: 0, waiting: 0 });
    await clock.advance(120_000);
    const said = log.filter(({ fields }) => /stands still/.test(String(fields?.error)));
    assert.ok(said.length > 0, JSON.stringify(log));
    // Expected here, and nothing that the fixture should complain of.
    for (const line of said) log.splice(log.indexOf(line), 1);
    const here = [...filesystem.files.values()].filter((file) => file.chunks.get(0)?.resident);
    assert.equal(here.length, 2);
  }, { policy });
});
