/** Many files are recalled in a steady stream: bounded, and nobody waits for the slowest of a batch. */
import assert from "node:assert/strict";
import type { Tiering } from "../../../src/tiering/context.ts";
import { recallFiles } from "../../../src/tiering/file_commands.ts";

const AT_A_TIME = 4096;

/** A filesystem isolate whose answers the test gives. */
class Answers {
  readonly waiting = new Map<number, (answer: { recalled: number } | { failed: string }) => void>();

  /** How many were asked for in each turn. */
  readonly turns: number[] = [];
  #asked = 0;

  readonly tiering = {
    filesystem: {
      call: (_: string, { inode }: { inode: number }) => {
        if (this.#asked++ === 0) {
          setTimeout(() => {
            this.turns.push(this.#asked);
            this.#asked = 0;
          });
        }
        return new Promise((resolve) => this.waiting.set(inode, resolve));
      },
    },
  } as unknown as Tiering;

  give(count: number): void {
    for (const [inode, answer] of [...this.waiting].slice(0, count)) {
      this.waiting.delete(inode);
      answer(inode % 1000 === 7 ? { failed: "lost" } : { recalled: 2 });
    }
  }

  async settle(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function* walk(batches: number, each: number, took: number[] = []) {
  for (let at = 0; at < batches; at++) {
    took.push(at);
    yield Array.from({ length: each }, (_, i) => at * each + i);
    await Promise.resolve();
  }
}

Deno.test("the recall of a large directory waited for all of a batch before it asked for more", async () => {
  const answers = new Answers();
  const took: number[] = [];
  const done: number[] = [];
  const recalled = recallFiles(answers.tiering, {
    batches: walk(4, 3000, took),
    signal: new AbortController().signal,
    onDone: (count) => done.push(count),
  });
  await answers.settle();
  assert.equal(answers.waiting.size, AT_A_TIME);
  assert.deepEqual(took, [0, 1], "it is walked no further than it is recalled");
  answers.give(10);
  await answers.settle();
  assert.equal(
    answers.waiting.size,
    AT_A_TIME - 10,
    "a message for each file costs more than a file",
  );
  answers.give(246);
  await answers.settle();
  assert.equal(answers.waiting.size, AT_A_TIME);
  while (answers.waiting.size > 0) {
    answers.give(256);
    await answers.settle();
  }
  const { recalled: files, chunks, failed } = await recalled;
  assert.deepEqual([files, chunks], [11_988, 23_976]);
  assert.deepEqual(failed.slice(0, 2), [{ inode: 7, why: "lost" }, { inode: 1007, why: "lost" }]);
  assert.deepEqual([done.length, done.at(-1)], [12_000, 12_000]);
  assert(answers.turns.length < 60, `${answers.turns.length} turns`);
});

Deno.test("a recall that is stopped asks for nothing more, and says why", async () => {
  const answers = new Answers();
  const stop = new AbortController();
  const recalled = recallFiles(answers.tiering, { batches: walk(4, 3000), signal: stop.signal });
  await answers.settle();
  const ended = assert.rejects(recalled, /enough/);
  stop.abort(new Error("enough"));
  await ended;
  answers.give(1000);
  await answers.settle();
  assert.equal(answers.waiting.size, AT_A_TIME - 1000);
});

Deno.test("what a walk finds no more of ends a recall, and its error, too", async () => {
  const answers = new Answers();
  const { signal } = new AbortController();
  assert.equal((await recallFiles(answers.tiering, { batches: [], signal })).recalled, 0);
  const broken = async function* () {
    yield [1, 2];
    await Promise.resolve();
    throw new Error("the walk failed");
  };
  await assert.rejects(
    recallFiles(answers.tiering, { batches: broken(), signal }),
    /the walk failed/,
  );
});
