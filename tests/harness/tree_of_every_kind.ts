/**
 * A tree of every kind of file, as rows: some here, some in part, dirty, pinned, with several names or no
 * uses, with names that are hard to print, and a directory that has lost its place.
 */
import type { MetadataDatabase } from "../../src/metadata/database.ts";
import { PIN_NAME, pinValue } from "../../src/metadata/pins.ts";
import { XattrTable } from "../../src/metadata/xattr_table.ts";
import { SeededRandom } from "./seeded_random.ts";

const NAMES = ["plain", "ünï", "tab\there", "back\\x41slash", "ca.mov", "\u{1f600}"];
/**
 * Answers the numbers of its files, links and what has no name any more. Of all but one in `hereEvery`,
 * nothing is here.
 */
export function fillTree(
  database: MetadataDatabase,
  { files, seed, hereEvery = 1 }: { files: number; seed: number; hereEvery?: number },
): number[] {
  const random = new SeededRandom(seed);
  const below = (bound: number) => random.below(bound);
  const columns = `id, mode, uid, gid, nlink, size, allocated, resident, local, dirty, pinned, kept,
    changed_ms, btime_s, btime_ns, atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns`;
  const insert = database.statement(
    `INSERT INTO inode (${columns})
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0)`,
  );
  const dentry = database.statement("INSERT INTO dentry (parent, name, inode) VALUES (?, ?, ?)");
  const usage = database.statement(
    `INSERT INTO history.usage (inode, last_used_ms, heat, heat_at_ms, uses, since_ms, resident)
     VALUES (?, ?, ?, ?, x'000000000000f03f', ?, 1)`,
  );
  const xattrs = new XattrTable(database);
  const encoder = new TextEncoder();
  const directories = [1];
  const ids: number[] = [];
  database.transaction(() => {
    for (let id = 2; id < 12; id++) {
      // One of them has lost its place: it is being removed.
      const parent = id === 11 ? 999_999 : directories[below(directories.length)];
      const pinned = Number(id % 4 === 0);
      insert.run(id, 0o40755, 0, 0, 2, 4096, 0, 0, 0, 0, pinned, 0, 0, 0, 0);
      dentry.run(parent, encoder.encode(`${NAMES[id % 6]} ${id}`), id);
      if (id === 8) xattrs.set(id, PIN_NAME, pinValue(5e12));
      directories.push(id);
    }
    for (let n = 0, id = 12; n < files; n++, id += 1 + below(3)) {
      const links = below(9) === 0 ? 2 : below(40) === 0 ? 0 : 1;
      const allocated = 4096 * below(5);
      const mayBeHere = Number(n % hereEvery === 0);
      const part = [0, allocated, allocated, 4096 * below(allocated / 4096 + 1)][below(4)];
      const resident = part * mayBeHere;
      const dirty = Number(below(8) === 0) * mayBeHere;
      const local = dirty === 1 ? resident : 0;
      const mode = below(20) === 0 ? 0o120777 : 0o100644;
      const pinned = Number(below(15) === 0);
      const kept = dirty * below(2);
      insert.run(
        ...[id, mode, below(3), below(3), links, allocated, allocated, resident, local, dirty],
        ...[pinned, kept, 1e12 + n, 1e9 + below(1e6), below(1e9)],
      );
      for (let name = 0; name < links; name++) {
        const bytes = below(10) === 0
          ? new Uint8Array([0x66, 0xff, 0x30 + name, ...encoder.encode(`${id}`)])
          : encoder.encode(`${NAMES[below(6)]}${id}${name}`);
        dentry.run(directories[below(directories.length)], bytes, id);
      }
      if (below(10) > 0) {
        usage.run(id, 1e12 + below(1e9), random.fraction() * 9, 1e12 - n, 1e11 + n);
      }
      if (below(6) === 0) xattrs.set(id, encoder.encode("user.keep"), encoder.encode("yes"));
      ids.push(id);
    }
  });
  return ids;
}
