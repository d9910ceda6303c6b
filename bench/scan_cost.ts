/**
 * What recognizing scanners costs at each open: for a program that works on what it used before, and
 * for one that goes through cold files.
 *
 *   deno run -A bench/scan_cost.ts
 */
import type { Inode } from "../src/filesystem/inode.ts";
import { Scanners } from "../src/filesystem/scanners.ts";
import { MetadataDatabase } from "../src/metadata/database.ts";
import { DentryTable } from "../src/metadata/dentry_table.ts";
import { UsageTable } from "../src/metadata/usage_table.ts";
import { systemClock } from "../src/runtime/clock.ts";

const FILES = 100_000;
const PER_DIRECTORY = 100;
const DAY = 86_400_000;

const directory = await Deno.makeTempDir({ prefix: "zero-bench-" });
try {
  const database = MetadataDatabase.create({
    directory,
    fileSystemId: "bench",
    chunkSize: 4 << 20,
    store: "file:///none",
    clock: systemClock,
  });
  const usage = new UsageTable(database);
  const dentries = new DentryTable(database);
  const now = Date.now();
  database.transaction(() => {
    const insert = database.statement(
      `INSERT INTO inode (id, mode, uid, gid, nlink, size, atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns,
         btime_s, btime_ns, allocated, resident) VALUES (?, 33188, 0, 0, 1, 4096, 0, 0, 0, 0, 0, 0, 0, 0, 4096, 4096)`,
    );
    for (let id = 2; id < FILES + 2; id++) {
      insert.run(id);
      const parent = 1 + Math.floor(id / PER_DIRECTORY);
      dentries.insert(parent, new TextEncoder().encode(`file-${id}`), id);
      usage.record(id, id % 2 === 0 ? now : now - 30 * DAY);
    }
  });
  usage.flush();
  const scanners = new Scanners({
    identify: (tid) => ({ key: String(tid), pid: tid, program: "bench" }),
    placeOf: (inode) => dentries.placeOf(inode),
    lastUsed: (inode) => usage.lastUsedBefore(inode),
    wallMs: () => now,
    onChange: () => {},
  });
  const measure = (name: string, from: number) => {
    const start = performance.now();
    let opens = 0;
    for (let id = from; id < FILES + 2; id += 2) {
      const inode = { id, size: 4096, allocated: 4096, resident: 4096 } as Inode;
      scanners.opens(from, inode);
      opens++;
    }
    const each = (performance.now() - start) / opens * 1000;
    console.log(`${name.padEnd(32)} ${each.toFixed(1)} µs per open`);
  };
  measure("on what was used (warming)", 2);
  measure("on what was used", 2);
  measure("through cold files", 3);
  database.close({ clean: false });
} finally {
  await Deno.remove(directory, { recursive: true });
}
