/** Run by metadata_database_test.ts: commits one file, starts another, prints a generation, kills itself. */
import { InodeCache } from "../../src/filesystem/inode_cache.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { DentryTable } from "../../src/metadata/dentry_table.ts";
import { systemClock } from "../../src/runtime/clock.ts";

const database = MetadataDatabase.open({ directory: Deno.args[0] });
const inodes = new InodeCache(database, { limit: 64 });
const dentries = new DentryTable(database);

function add(name: string): void {
  const time = systemClock.now();
  const inode = inodes.insert({ mode: 0o100644, uid: 0, gid: 0, nlink: 1, time });
  dentries.insert(1, new TextEncoder().encode(name), inode.id);
}

database.transaction(() => add("committed"));
let generation = 0;
for (let i = 0; i < 5000; i++) generation = database.nextGeneration();
database.transaction(() => {
  add("uncommitted");
  Deno.stdout.writeSync(new TextEncoder().encode(`${generation}\n`));
  Deno.kill(Deno.pid, "SIGKILL");
});
