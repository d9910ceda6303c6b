/** How fast may be uploaded, by local time: the last entry of a timetable that holds wins. Pure. */
import type { BandwidthEntry, Period } from "./model.ts";

/** A moment on the clock on the wall. */
export interface LocalTime {
  /** 0 Sunday … 6 Saturday. */
  day: number;
  /** Minutes since midnight, 0 … 1439. */
  minute: number;
}

/** Local time of a point in time, in the time zone of this process. */
export function localTime(ms: number): LocalTime {
  const at = new Date(ms);
  return { day: at.getDay(), minute: at.getHours() * 60 + at.getMinutes() };
}

/** Whether a period holds. One that ends on the next day belongs to the day on which it begins. */
export function holds({ days, from, to }: Period, { day, minute }: LocalTime): boolean {
  if (from < to) return days.includes(day) && minute >= from && minute < to;
  const yesterday = (day + 6) % 7;
  return (days.includes(day) && minute >= from) || (days.includes(yesterday) && minute < to);
}

/** Bytes per second; Infinity: no bound, also where no entry holds; 0: nothing may be sent now. */
export function bandwidthAt(timetable: readonly BandwidthEntry[], time: LocalTime): number {
  const entry = timetable.findLast(({ at }) => at === undefined || holds(at, time));
  return entry?.limit ?? Infinity;
}

/** Minutes until the limit changes, at most a week; undefined: it never does. */
export function minutesToChange(
  timetable: readonly BandwidthEntry[],
  time: LocalTime,
): number | undefined {
  const week = 7 * 24 * 60;
  const now = bandwidthAt(timetable, time);
  const start = time.day * 24 * 60 + time.minute;
  const ends = timetable.flatMap(({ at }) => at === undefined ? [] : [at.from, at.to]);
  const steps = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((days) =>
    ends.map((minute) => days * 24 * 60 + minute - time.minute)
  ).filter((step) => step > 0 && step <= week).sort((a, b) => a - b);
  return steps.find((step) => {
    const at = (start + step) % week;
    return bandwidthAt(timetable, { day: Math.floor(at / 1440), minute: at % 1440 }) !== now;
  });
}
