/** What the filesystem isolate tells a policy, keeps of what it says, and re-checks. */
import assert from "node:assert/strict";
import type { FactsRow } from "../../src/metadata/facts_table.ts";
import { readJournal } from "../../src/metadata/journal_table.ts";
import { UsageClass } from "../../src/metadata/schema.ts";
import type { SortPlace } from "../../src/metadata/usage_table.ts";
import type { FilesystemFixture } from "../harness/filesystem_fixture.ts";
import { assertDone, cached, CHUNK, data, lawTest } from "../harness/law_test.ts";

const needs = { uses: true, xattrs: true };

const factsOf = (fixture: FilesystemFixture, inode: number): FactsRow =>
  fixture.engine.call("facts", { inodes: [inode], needs })[0]!;

/** Facts of the files that wait to be sorted. */
function unsortedFacts(fixture: FilesystemFixture): FactsRow[] {
  fixture.work();
  const facts: FactsRow[] = [];
  let after: SortPlace | undefined;
  do {
    const page = fixture.engine.call("unsorted", { limit: 100, after, needs });
    facts.push(...page.facts);
    after = page.next;
  } while (after !== undefined);
  return facts;
}

/** Files that wait to be sorted. */
const unsorted = (fixture: FilesystemFixture) => unsortedFacts(fixture).map((row) => row.inode);

/** Puts all that is unsorted in one class. */
function sortAll(fixture: FilesystemFixture, kind: UsageClass = UsageClass.RANKED): void {
  const files = unsortedFacts(fixture).map(({ inode, stamp }) => ({
    inode,
    stamp,
    class: kind,
    rank: inode,
    wakeMs: undefined,
  }));
  fixture.engine.call("sort", { files });
}

const ranked = (fixture: FilesystemFixture) =>
  fixture.engine.call("queue", { queue: "ranked", limit: 100, facts: 100, needs, policy: "" })
    .files.map((row) => row.inode);

const evict = (fixture: FilesystemFixture, inode: number, keepHead = 0) => {
  const { generation } = factsOf(fixture, inode);
  let answer: unknown;
  const files = [{ inode, generation, keepHead, why: "films (p.yaml:1:1)" }];
  fixture.engine.ask("evict", { files }, ([result]) => answer = result);
  fixture.work();
  return answer;
};

lawTest("facts name every path, and follow names and directories wherever they go", (fixture) => {
  const { kernel } = fixture;
  const directory = kernel.mkdir(1, { name: "dir" }).value.inode;
  const inode = fixture.saved("a", data(1, CHUNK));
  assertDone(kernel.rename(1, { name: "a", newParent: directory, newName: "b" }));
  assertDone(kernel.link(1, { name: "c", target: inode }));
  assert.deepEqual(factsOf(fixture, inode).paths.sort(), ["/c", "/dir/b"]);
  assertDone(kernel.rename(1, { name: "dir", newParent: 1, newName: "other" }));
  const facts = factsOf(fixture, inode);
  assert.deepEqual(facts.paths.sort(), ["/c", "/other/b"]);
  assert.equal(facts.links, 2);
  assert.equal(facts.dirty, false);
  assert.equal(facts.confirmed, true);
  assert.equal(facts.resident, CHUNK);
});

lawTest("a file is unsorted when it is new, used, saved or renamed, and only then", (fixture) => {
  const inode = fixture.saved("a", data(1, CHUNK));
  assert.deepEqual(unsorted(fixture), [inode]);
  sortAll(fixture);
  assert.deepEqual(unsorted(fixture), []);
  assert.deepEqual(ranked(fixture), [inode]);
  // A use is recorded at most once a second.
  fixture.clock.pass(2_000);
  const read = { inode, handle: fixture.open(inode, 0) };
  fixture.read(read);
  fixture.closeFile(read);
  assert.deepEqual(unsorted(fixture), [inode]);
  assert.deepEqual(ranked(fixture), []);
  sortAll(fixture);
  assertDone(fixture.kernel.rename(1, { name: "a", newParent: 1, newName: "b" }));
  assert.deepEqual(unsorted(fixture), [inode]);
});

lawTest(
  "a renamed directory makes all below it unsorted, and none of it is kept out of the bucket",
  (fixture) => {
    const { kernel, engine } = fixture;
    const outer = kernel.mkdir(1, { name: "node_modules" }).value.inode;
    const inner = kernel.mkdir(outer, { name: "x" }).value.inode;
    const file = fixture.create("a");
    fixture.write(file, 0, data(1, CHUNK));
    fixture.closeFile(file);
    assertDone(kernel.rename(1, { name: "a", newParent: inner, newName: "a" }));
    sortAll(fixture, UsageClass.LOCAL);
    engine.call("keep", { inodes: [file.inode] });
    const dirty = () =>
      engine.call("dirtyFiles", { changedBefore: 1e15, limit: 9 }).map((each) => each.inode);
    assert.deepEqual(dirty(), []);
    assert.equal(engine.call("statistics", {}).keptBytes, CHUNK);
    assertDone(kernel.rename(1, { name: "node_modules", newParent: 1, newName: "m" }));
    assert.deepEqual(unsorted(fixture), [file.inode]);
    assert.deepEqual(dirty(), [file.inode]);
    assert.equal(engine.call("statistics", {}).keptFiles, 0);
    assert.deepEqual(factsOf(fixture, file.inode).paths, ["/m/x/a"]);
  },
);

lawTest("a pin on a directory keeps what is below, to its end, whatever was decided", (fixture) => {
  const { kernel, engine, clock } = fixture;
  const directory = kernel.mkdir(1, { name: "dir" }).value.inode;
  const inode = fixture.saved("a", data(1, CHUNK));
  assertDone(kernel.rename(1, { name: "a", newParent: directory, newName: "a" }));
  sortAll(fixture);
  const untilMs = Math.floor(clock.wallMs()) + 60_000;
  engine.call("pin", { inode: directory, pinned: true, untilMs });
  assert.deepEqual(unsorted(fixture), [inode]);
  assert.deepEqual(factsOf(fixture, inode).pin, { untilMs });
  assert.equal(evict(fixture, inode), "pinned");
  assert.equal(engine.call("residency", { inode })?.pinnedUntilMs, untilMs);
  clock.pass(61_000);
  assert.equal(evict(fixture, inode), CHUNK);
});

lawTest(
  "what was renamed, used or moved with its directory since it was chosen stays",
  (fixture) => {
    const { kernel, engine } = fixture;
    const directory = kernel.mkdir(1, { name: "dir" }).value.inode;
    const inode = fixture.saved("a", data(1, CHUNK));
    const decideThen = (change: () => void) => {
      sortAll(fixture);
      const { generation, stamp, epoch } = factsOf(fixture, inode);
      change();
      let answer: unknown;
      const files = [{ inode, generation, facts: { stamp, epoch } }];
      engine.ask("evict", { files }, ([result]) => answer = result);
      fixture.work();
      return answer;
    };
    const move = () => kernel.rename(1, { name: "a", newParent: directory, newName: "a" });
    assert.equal(decideThen(() => assertDone(move())), "changed");
    const carry = () => kernel.rename(1, { name: "dir", newParent: 1, newName: "other" });
    assert.equal(decideThen(() => assertDone(carry())), "changed");
    const use = () => {
      fixture.clock.pass(2_000);
      fixture.closeFile({ inode, handle: fixture.open(inode, 0) });
    };
    assert.equal(decideThen(use), "changed");
    assert.equal(decideThen(() => {}), CHUNK);
  },
);

lawTest(
  "a head stays while the rest of a closed file leaves, durably first, and reads come back",
  (fixture) => {
    const bytes = data(1, 5 * CHUNK + 100);
    const inode = fixture.saved("a", bytes);
    assert.equal(evict(fixture, inode, CHUNK + 1), 3 * CHUNK + 4096);
    const facts = factsOf(fixture, inode);
    assert.equal(facts.resident, 2 * CHUNK);
    assert.equal(cached(fixture, inode).size, 1);
    const file = { inode, handle: fixture.open(inode, 0) };
    assert.deepEqual(fixture.read(file, 0, 100), bytes.subarray(0, 100));
    assert.equal(fixture.engine.recalls.length, 0);
    assert.deepEqual(fixture.read(file), bytes);
    fixture.closeFile(file);
    const next = fixture.crash("kill");
    const again = { inode, handle: next.open(inode, 0) };
    assert.deepEqual(next.read(again), bytes);
  },
);

lawTest("the journal says what happened to a file, and keeps the last of it", (fixture) => {
  const inode = fixture.saved("a", data(1, CHUNK));
  evict(fixture, inode);
  const file = { inode, handle: fixture.open(inode, 0) };
  fixture.read(file);
  fixture.closeFile(file);
  for (let i = 0; i < 15; i++) {
    fixture.engine.call("pin", { inode, pinned: true });
    fixture.engine.call("pin", { inode, pinned: false });
  }
  factsOf(fixture, inode);
  const journal = readJournal(fixture.database, inode);
  assert.equal(journal.length, 20);
  assert.equal(journal.at(-1)?.what, "unpinned");
});

lawTest(
  "a pin is set and removed by its attribute, too, and holds for what comes later",
  (fixture) => {
    const { kernel } = fixture;
    const directory = kernel.mkdir(1, { name: "dir" }).value.inode;
    const set = (inode: number, value: string) =>
      kernel.setxattr(inode, { name: "user.zero.pin", value: new TextEncoder().encode(value) });
    const pinOf = (inode: number) =>
      new TextDecoder().decode(kernel.getxattr(inode, { name: "user.zero.pin" }).value);
    assertDone(set(directory, "1"));
    const inode = fixture.saved("a", data(1, CHUNK));
    assertDone(kernel.rename(1, { name: "a", newParent: directory, newName: "b" }));
    assert.equal(pinOf(inode), "1");
    assert.deepEqual(factsOf(fixture, inode).pin, {});
    assertDone(set(directory, "0"));
    assert.equal(pinOf(inode), "0");
    assertDone(set(inode, "2099-01-31"));
    assert.equal(pinOf(inode), "2099-01-31T00:00:00.000Z");
    assertDone(kernel.removexattr(inode, "user.zero.pin"));
    assert.equal(factsOf(fixture, inode).pin, undefined);
    assert.equal(set(inode, "for ever").errno, 22);
    assert.equal(kernel.setxattr(inode, { name: "user.zero.state", value: data(1, 3) }).errno, 1);
    const link = kernel.symlink(1, { name: "l", target: "x" }).value.inode;
    assert.equal(set(link, "1").errno, 1);
  },
);

lawTest("a file that stays open for writing is named, with its last saved version", (fixture) => {
  const saved = fixture.saved("a", data(1, CHUNK));
  const savedMs = fixture.clock.wallMs();
  fixture.clock.pass(5_000);
  const file = { inode: saved, handle: fixture.open(saved) };
  const sinceMs = fixture.clock.wallMs();
  fixture.write(file, 0, "changed");
  const other = fixture.create("b");
  fixture.write(other, 0, "new");
  const writing = () => fixture.engine.call("statistics", {}).writing!;
  assert.deepEqual(writing(), []);
  fixture.clock.pass(60_000);
  assert.deepEqual(writing().map(({ inode }) => inode), [saved, other.inode]);
  const [first, second] = writing();
  assert.equal(first.sinceMs, sinceMs);
  assert.ok(Math.abs(first.savedMs! - savedMs) < 5_000);
  assert.equal(second.savedMs, undefined);
  fixture.closeFile(file);
  fixture.closeFile(other);
  assert.deepEqual(writing(), []);
});

lawTest("another policy makes every file unsorted, once", (fixture) => {
  const files = ["a", "b", "c"].map((name) => fixture.saved(name, data(1, CHUNK)));
  sortAll(fixture);
  let answers = 0;
  const reclassify = (policy: string) => {
    fixture.engine.ask("reclassify", { policy }, () => answers++);
    fixture.work();
  };
  reclassify("one");
  assert.deepEqual(unsorted(fixture), files);
  sortAll(fixture);
  reclassify("one");
  assert.deepEqual(unsorted(fixture), []);
  reclassify("two");
  assert.deepEqual(unsorted(fixture), files);
  assert.equal(answers, 3);
});

lawTest(
  "a large file of which a pack turns out wrong while it is evicted stays, and does not hold up all other work",
  (fixture) => {
    const inode = fixture.saved("a", data(1, 1024 * 260));
    const { generation } = factsOf(fixture, inode);
    let answer: unknown;
    fixture.engine.ask("evict", { files: [{ inode, generation }] }, ([result]) => answer = result);
    fixture.database.statement("UPDATE chunk SET lost = 1").run();
    for (let slices = 0; answer === undefined; slices++) {
      assert.ok(slices < 10, "slice after slice finds nothing to do");
      fixture.filesystem.reaper.step();
    }
    assert.equal(answer, "unverified");
    assert.equal(factsOf(fixture, inode).resident, 4096 * 260);
  },
  // Each chunk is charged a page, so that so many of them are a large file.
  { chunkSize: 1024 },
);

/** What the queue gives without a look at facts, and with one, to a policy of this name. */
function choices(fixture: FilesystemFixture, policy: string) {
  const { files } = fixture.engine.call("queue", {
    ...{ queue: "ranked", limit: 100, facts: 100, needs, policy },
  });
  const settled = files.filter((each) => "settled" in each);
  const asked = files.filter((each) => !("settled" in each));
  return { settled, asked: asked.map((each) => each.inode) };
}

/** Sorts everything for a policy, each file as settled by its second rule. */
function settleAll(fixture: FilesystemFixture, policy: string): void {
  fixture.engine.ask("reclassify", { policy }, () => {});
  fixture.work();
  const files = unsortedFacts(fixture).map(({ inode, stamp }) => ({
    ...{ inode, stamp, class: UsageClass.RANKED, rank: inode, wakeMs: undefined, settled: 2 },
  }));
  fixture.engine.call("sort", { files });
}

lawTest(
  "a file that was sorted is chosen without its facts while nothing about it has changed",
  (fixture) => {
    const { kernel, engine } = fixture;
    const directory = kernel.mkdir(1, { name: "dir" }).value.inode;
    const [a, b, c] = ["a", "b", "c"].map((name) => fixture.saved(name, data(1, CHUNK)));
    assertDone(kernel.rename(1, { name: "c", newParent: directory, newName: "c" }));
    settleAll(fixture, "one");
    const { settled, asked } = choices(fixture, "one");
    assert.deepEqual(asked, []);
    assert.deepEqual(
      settled.map((each) => "settled" in each && [each.inode, each.frees, each.settled]),
      [a, b, c].map((inode) => [inode, CHUNK, 2]),
    );
    // To another policy that says nothing.
    assert.deepEqual(choices(fixture, "two"), { settled: [], asked: [a, b, c] });
    // One that is open is told with that it is.
    const { handle } = kernel.open(b).value;
    assert.deepEqual(choices(fixture, "one").asked, [b]);
    kernel.release(b, { handle });
    fixture.work();
    // A directory has moved: until all below it is unsorted, nothing is taken on trust.
    assertDone(kernel.rename(1, { name: "dir", newParent: 1, newName: "other" }));
    assert.deepEqual(choices(fixture, "one").settled, []);
    fixture.work();
    assert.ok(!choices(fixture, "one").settled.some((each) => each.inode === c));
    // What was chosen like that is not evicted once a directory has moved.
    settleAll(fixture, "one");
    const files = choices(fixture, "one").settled.map((each) => {
      assert.ok("settled" in each);
      const { inode, stamp, epoch } = each;
      return { inode, facts: { stamp, epoch } };
    });
    assertDone(kernel.rename(1, { name: "other", newParent: 1, newName: "dir" }));
    let results: unknown;
    engine.ask("evict", { files }, (answer) => results = answer);
    fixture.work();
    assert.deepEqual(results, ["changed", "changed", "changed"]);
  },
);

lawTest("a file whose time has come is asked for its facts again", (fixture) => {
  const inode = fixture.saved("a", data(1, CHUNK));
  settleAll(fixture, "one");
  const { stamp } = factsOf(fixture, inode);
  const wakeMs = fixture.clock.wallMs() + 5_000;
  fixture.engine.call("sort", {
    files: [{ ...{ inode, stamp, class: UsageClass.RANKED, rank: 1, wakeMs }, settled: 1 }],
  });
  assert.equal(choices(fixture, "one").settled.length, 1);
  fixture.clock.pass(5_000);
  assert.deepEqual(choices(fixture, "one"), { settled: [], asked: [inode] });
});

lawTest(
  "a mount that ends before all below a moved directory is unsorted leaves that to the next one",
  (fixture) => {
    const { kernel } = fixture;
    const directory = kernel.mkdir(1, { name: "dir" }).value.inode;
    const inode = fixture.saved("a", data(1, CHUNK));
    assertDone(kernel.rename(1, { name: "a", newParent: directory, newName: "a" }));
    settleAll(fixture, "one");
    assertDone(kernel.rename(1, { name: "dir", newParent: 1, newName: "other" }));
    fixture.filesystem.facts.end();
    const next = fixture.crash("clean");
    next.work();
    settleAll(next, "one");
    assert.equal(choices(next, "one").settled.length, 1);
    assert.equal(next.database.setting("sorted_before_move"), undefined);
    assert.equal(factsOf(next, inode).paths[0], "/other/a");
  },
);
