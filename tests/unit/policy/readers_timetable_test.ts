/** Readers by name, timetables over days and midnight. */
import assert from "node:assert/strict";
import fc from "../../harness/properties.ts";
import { MiB } from "../../../src/domain/units.ts";
import { compileReaders, ReaderClass, readerClass } from "../../../src/policy/readers.ts";
import { bandwidthAt, localTime, minutesToChange } from "../../../src/policy/timetable.ts";
import { policyOf } from "./helpers.ts";

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const time = (text: string) => {
  const [day, clock] = text.split(" ");
  const [hours, minutes] = clock.split(":").map(Number);
  return { day: DAYS.indexOf(day), minute: hours * 60 + minutes };
};
const timetable = (...entries: string[]) =>
  policyOf(`upload: { bandwidth: [${entries.map((each) => `{ ${each} }`).join(", ")}] }\n`)
    .upload.bandwidth;

Deno.test("the first reader that matches decides, and everybody else is a user", () => {
  const { readers } = policyOf(`readers:
  - { comm: tracker-extract, heat: ignore }
  - { comm: ["tracker-*", updatedb], recall: deny, heat: ignore }
  - { comm: restic, recall: stream }
`);
  const treat = compileReaders(readers);
  const classes = ["tracker-extract", "tracker-miner-f", "updatedb", "restic", "vim", "", "restic2"]
    .map((comm) => readerClass(treat(comm)));
  const { USER, UNCOUNTED, STREAM, DENY } = ReaderClass;
  assert.deepEqual(classes, [UNCOUNTED, DENY, DENY, STREAM, USER, USER, USER]);
  assert.equal(treat("updatedb").place!.line, 4);
  for (let n = 0; n < 5000; n++) assert.equal(treat(`p${n}`).recall, "allow");
});

Deno.test("the last entry that holds wins; where none does, there is no bound", () => {
  const table = timetable(
    "limit: 20MiB/s",
    "at: 'mon-fri 08:00-18:00', limit: 2MiB/s",
    "at: 'wed 12:00-13:00', limit: off",
    "at: 'fri 22:00-06:00', limit: unlimited",
  );
  const cases: [string, number][] = [
    ["mon 07:59", 20 * MiB],
    ["mon 08:00", 2 * MiB],
    ["fri 17:59", 2 * MiB],
    ["fri 18:00", 20 * MiB],
    ["sat 12:00", 20 * MiB],
    ["wed 12:30", 0],
    ["wed 13:00", 2 * MiB],
    ["fri 21:59", 20 * MiB],
    ["fri 22:00", Infinity],
    ["sat 05:59", Infinity],
    ["sat 06:00", 20 * MiB],
    ["fri 05:59", 20 * MiB],
  ];
  for (const [at, wanted] of cases) assert.equal(bandwidthAt(table, time(at)), wanted, at);
  assert.equal(bandwidthAt([], time("mon 00:00")), Infinity);
});

Deno.test("spans of days wrap around the week, lists join, and times run to 24:00", () => {
  const holds = (at: string, moment: string) =>
    bandwidthAt(timetable(`at: '${at}', limit: off`), time(moment)) === 0;
  assert.ok(holds("sat-mon", "sun 12:00") && holds("sat-mon", "mon 23:59"));
  assert.ok(!holds("sat-mon", "tue 00:00"));
  assert.ok(holds("mon,wed,fri-sat", "wed 10:00") && !holds("mon,wed,fri-sat", "thu 10:00"));
  assert.ok(holds("18:00-24:00", "thu 23:59") && !holds("18:00-24:00", "fri 00:00"));
  assert.ok(holds("sun 23:00-01:00", "mon 00:30") && !holds("sun 23:00-01:00", "sun 00:30"));
});

Deno.test("the time of the next change is the first minute with another limit", () => {
  const entry = fc.record({
    days: fc.constantFrom("mon-fri", "sat,sun", "wed", "fri-mon"),
    from: fc.integer({ min: 0, max: 23 }),
    length: fc.integer({ min: 1, max: 23 }),
    limit: fc.constantFrom("off", "1MiB/s", "2MiB/s"),
  });
  const two = (hour: number) => `${String(hour).padStart(2, "0")}:00`;
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 3 }),
      fc.integer({ min: 0, max: 7 * 24 * 60 - 1 }),
      (entries, start) => {
        const table = timetable(
          ...entries.map(({ days, from, length, limit }) =>
            `limit: ${limit}, at: '${days} ${two(from)}-${two((from + length) % 24)}'`
          ),
        );
        const after = (minutes: number) => {
          const at = (start + minutes) % (7 * 1440);
          return bandwidthAt(table, { day: Math.floor(at / 1440), minute: at % 1440 });
        };
        let slow: number | undefined;
        for (let step = 1; step <= 7 * 1440 && slow === undefined; step++) {
          if (after(step) !== after(0)) slow = step;
        }
        const now = { day: Math.floor(start / 1440), minute: start % 1440 };
        assert.equal(minutesToChange(table, now), slow);
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("local time is that of the clock on the wall", () => {
  const at = new Date(2026, 5, 17, 13, 45);
  assert.deepEqual(localTime(at.getTime()), { day: 3, minute: 13 * 60 + 45 });
});
