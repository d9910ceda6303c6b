/** Records that are written down in slices between requests. */
import assert from "node:assert/strict";
import { BacklogWriter } from "../../../src/filesystem/backlog.ts";

class Records {
  slices: number[] = [];
  constructor(public unflushed: number) {}
  flush(limit: number): number {
    const written = Math.min(limit, this.unflushed);
    this.unflushed -= written;
    this.slices.push(written);
    return written;
  }
}

function rig() {
  const jobs: (() => boolean)[] = [];
  const writer = new BacklogWriter((job) => jobs.push(job));
  return {
    writer,
    jobs,
    /** Runs slices until none is left, or so many. */
    run(most = Infinity) {
      while (jobs.length > 0 && most-- > 0) if (!jobs[0]()) jobs.shift();
    },
  };
}

Deno.test("5,000 records of a sync are not written at one stretch", () => {
  const { writer, run } = rig();
  const records = new Records(5000);
  writer.write(records);
  run();
  assert.equal(records.unflushed, 0);
  assert(Math.max(...records.slices) <= 32, `${Math.max(...records.slices)} at once`);
});

Deno.test("what comes in while records are written is left to the next time, so a walk ends", () => {
  const { writer, run, jobs } = rig();
  const records = new Records(100);
  writer.write(records);
  run(1);
  records.unflushed += 1000;
  writer.write(records);
  assert.equal(jobs.length, 1, "one walk at a time");
  run();
  assert.equal(records.unflushed, 1000);
  writer.write(records);
  run();
  assert.equal(records.unflushed, 0);
});

Deno.test("records that cannot be written yet do not keep a walk going", () => {
  const { writer, run, jobs } = rig();
  writer.write({ unflushed: 5, flush: () => 0 });
  run();
  assert.equal(jobs.length, 0);
});
