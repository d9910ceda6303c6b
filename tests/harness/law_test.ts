/** A test of one law, over a whole file system: whatever happens, memory and rows agree at the end. */
import assert from "node:assert/strict";
import { FilesystemFixture, type FixtureOptions } from "./filesystem_fixture.ts";
import { withDirectory } from "./scratch_directory.ts";
import { contentFiles } from "./scripted_disk.ts";
import { SeededRandom } from "./seeded_random.ts";
import type { Answer } from "./simulated_connection.ts";

export const CHUNK = 16384;
export const Flag = { RDWR: 2, TRUNC: 0o1000 };

/** Runs `body`; then the last mount is checked and all are closed. */
export function lawTest(
  name: string,
  body: (fixture: FilesystemFixture) => void,
  options: Omit<FixtureOptions, "directory"> = {},
): void {
  Deno.test(
    name,
    withDirectory((directory) => {
      const first = new FilesystemFixture({ directory, ...options });
      let last = first;
      try {
        body(first);
        while (last.next !== undefined) last = last.next;
        last.assertIntact();
        last.core.flushAll();
        last.assertIntact();
      } finally {
        for (let each: FilesystemFixture | undefined = first; each; each = each.next) each.close();
      }
    }),
  );
}

/** Bytes that are never zero, the same for the same seed. */
export const data = (seed: number, length: number) =>
  new SeededRandom(seed).bytes(length).map((byte) => byte | 1);

/** What lies in the cache of an inode, whole files by name. */
export function cached(fixture: FilesystemFixture, inode: number): Map<string, Uint8Array> {
  const paths = contentFiles(fixture.store.directory).filter((path) => path.includes(`/${inode}.`));
  return new Map(paths.map((path) => [path.split("/").pop()!, Deno.readFileSync(path)]));
}

export const labels = (fixture: FilesystemFixture) =>
  fixture.disk.waiting.map(({ label }) => label);

export function assertDone(answer: Answer<unknown>): void {
  assert(!answer.pending, "it is not answered");
  assert.equal(answer.errno, 0);
}
