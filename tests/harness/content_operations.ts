/** The operations of content_player.ts: five numbers each, and how often each kind comes. */
import type { SeededRandom } from "./seeded_random.ts";

export const KINDS = {
  create: 4,
  tmpfile: 1,
  open: 6,
  openTruncate: 3,
  close: 6,
  write: 16,
  append: 4,
  writeChunks: 4,
  read: 12,
  truncate: 6,
  fallocate: 4,
  copy: 6,
  lseek: 3,
  fsync: 4,
  unlink: 2,
  rename: 4,
  link: 2,
  upload: 8,
  stage: 8,
  save: 8,
  saveWhole: 4,
  snapshot: 10,
  evict: 8,
  spill: 5,
  bulk: 2,
  install: 14,
  failRecall: 1,
  installAgain: 2,
  disk: 16,
  pass: 8,
  quiet: 3,
  lend: 8,
  readAhead: 2,
  map: 3,
  unmap: 3,
  mapRead: 6,
  mapStore: 4,
  getattr: 4,
  work: 4,
  clean: 1,
  kill: 2,
  powerCut: 2,
};
export type Kind = keyof typeof KINDS;
export type Operation = [kind: Kind, a: number, b: number, c: number, d: number];

const weights = Object.entries(KINDS) as [Kind, number][];
const sum = weights.reduce((total, [, weight]) => total + weight, 0);

export function randomOperation(random: SeededRandom): Operation {
  let place = random.below(sum);
  const kind = weights.find(([, weight]) => (place -= weight) < 0)![0];
  return [kind, random.next(), random.next(), random.next(), random.next()];
}
