import assert from "node:assert/strict";
import { Listers } from "../../../src/filesystem/listers.ts";

/** A program that lists directories of so many files, and looks up a share of those it got without attributes. */
class Program {
  constructor(readonly listers: Listers, readonly pid: number) {}

  /** Returns how many names came with attributes. `page`: names a request. */
  lists(directory: number, names: number, { looksUp = 0, page = 200, atOnce = false } = {}) {
    let attributes = 0;
    let bare = 0;
    for (let at = 0; at < names; at += page) {
      const lister = this.listers.reads(this.pid, { directory, fromBeginning: at === 0 });
      const { looks } = lister;
      const before = bare;
      for (let name = at; name < Math.min(names, at + page); name++) {
        if (looks && !lister.holdsBack()) attributes++;
        else {
          lister.heldBack();
          bare++;
        }
      }
      if (atOnce) this.#looksUp(directory, (bare - before) * looksUp);
    }
    if (!atOnce) this.#looksUp(directory, bare * looksUp);
    return attributes;
  }

  #looksUp(directory: number, names: number): void {
    for (let i = 0; i < names; i++) this.listers.lookedUp(directory);
  }
}

const program = (listers = new Listers(), pid = 7) => new Program(listers, pid);

Deno.test("who only lists is given names alone after 2,000 names, in whatever directories", () => {
  for (const names of [20, 250, 1000]) {
    const find = program();
    let attributes = 0;
    for (let directory = 1; directory <= 20_000 / names; directory++) {
      attributes += find.lists(directory, names);
    }
    assert.ok(attributes > 1000 && attributes <= 2000, `${attributes} of ${names} a directory`);
  }
});

Deno.test("who looks at what it lists is given attributes on all pages, but for a few names", () => {
  const find = program();
  let attributes = 0;
  for (let directory = 1; directory <= 100; directory++) {
    attributes += find.lists(directory, 1000, { looksUp: 1 });
  }
  assert.ok(attributes > 98_500 && attributes < 99_900, `${attributes}`);
  const large = find.lists(1000, 100_000, { looksUp: 1 });
  assert.ok(large > 99_000, `${large}`);
});

Deno.test("who may list all of a large directory before it looks is given attributes for 10,000 names", () => {
  const attributes = program().lists(1, 100_000);
  assert.ok(attributes >= 10_000 && attributes < 10_200, `${attributes}`);
});

Deno.test("who looks at each page before it asks for the next one has attributes to its end", () => {
  const attributes = program().lists(1, 100_000, { looksUp: 1, atOnce: true });
  assert.ok(attributes > 96_000, `${attributes}`);
});

Deno.test("who begins to look, and who ceases to, is noticed within a few directories", () => {
  const shell = program();
  for (let directory = 1; directory <= 50; directory++) shell.lists(directory, 1000);
  assert.equal(shell.lists(51, 1000, { looksUp: 1 }), 0);
  assert.ok(shell.lists(52, 1000, { looksUp: 1 }) > 900);
  let attributes = 0;
  for (let directory = 53; directory <= 153; directory++) {
    attributes += shell.lists(directory, 1000);
  }
  assert.ok(attributes < 40_000, `${attributes}`);
  assert.equal(shell.lists(154, 1000), 0);
});

Deno.test("one name in a hundred is not worth the attributes of all, one in three is", () => {
  for (const [looksUp, worth] of [[0.01, false], [0.34, true]] as const) {
    const grep = program();
    for (let directory = 1; directory <= 20; directory++) grep.lists(directory, 1000, { looksUp });
    assert.equal(grep.lists(21, 1000, { looksUp }) > 0, worth, `${looksUp}`);
  }
});

Deno.test("who lists is known by those too that look for it, such as other threads of the program", () => {
  const listers = new Listers();
  const [first, second] = [program(listers, 7), program(listers, 8)];
  let attributes = 0;
  for (let directory = 1; directory <= 40; directory++) {
    attributes += (directory % 2 === 0 ? first : second).lists(directory, 500, { looksUp: 1 });
  }
  assert.ok(attributes > 19_000, `${attributes}`);
});

Deno.test("others are not taken for a thread that only lists, and lookups elsewhere say nothing of it", () => {
  const listers = new Listers();
  const find = program(listers, 7);
  for (let directory = 1; directory <= 10; directory++) find.lists(directory, 1000);
  assert.ok(program(listers, 8).lists(11, 100) > 0);
  for (let i = 0; i < 1000; i++) listers.lookedUp(4711);
  assert.equal(find.lists(12, 1000), 0);
});

Deno.test("of very many threads something is known of a few, of those that listed last", () => {
  const listers = new Listers();
  for (let pid = 1; pid <= 1000; pid++) {
    for (let at = 0; at < 3; at++) program(listers, pid).lists(3 * pid + at, 1000);
  }
  const known = (pid: number) => program(listers, pid).lists(4 * pid, 50) === 0;
  assert.ok(known(1000) && known(990));
  assert.ok(!known(1) && !known(900));
});
