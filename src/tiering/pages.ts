/**
 * Walks over what the filesystem isolate hands out page by page. Promises that every walk ends: each
 * page has to name a place beyond the one before, whatever was or was not on it. One that does not is
 * a defect of whoever makes the pages, and ends the walk with an InvariantError, which the caller logs
 * like any other failure of its pass; a walk that went on would never let the caller do anything else.
 */
import { invariant } from "../domain/errors.ts";

/** A place in a walk, as numbers that are compared in their order. */
export type PlaceOf<Cursor> = (cursor: Cursor) => readonly number[];

/**
 * The pages that `ask` answers, from the beginning to the one without a `next`. `place` says where a
 * cursor lies. Throws what `ask` throws, and InvariantError where the walk stands still.
 */
export async function* pages<Cursor, Page extends { next: Cursor | undefined }>(
  what: string,
  place: PlaceOf<Cursor>,
  ask: (after: Cursor | undefined) => Promise<Page>,
): AsyncGenerator<Page> {
  let after: Cursor | undefined;
  do {
    const page: Page = await ask(after);
    if (after !== undefined && page.next !== undefined) {
      const [from, to] = [place(after), place(page.next)];
      invariant(isBeyond(to, from), () => `${what} stands still at ${from} (then ${to})`);
    }
    yield page;
    after = page.next;
  } while (after !== undefined);
}

function isBeyond(to: readonly number[], from: readonly number[]): boolean {
  const at = to.findIndex((number, index) => number !== from[index]);
  return at >= 0 && to[at] > from[at];
}
