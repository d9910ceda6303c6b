/** A metadata database in a directory, for tests that need no more of a cache. */
import { type CreateOptions, MetadataDatabase } from "../../src/metadata/database.ts";
import { SimulatedClock } from "./simulated_clock.ts";

export function createDatabase(
  directory: string,
  options: Partial<CreateOptions> = {},
): MetadataDatabase {
  return MetadataDatabase.create({
    directory,
    fileSystemId: "0123",
    chunkSize: 4 << 20,
    store: "s3://bucket/prefix",
    clock: new SimulatedClock(),
    ...options,
  });
}

/** As a kill leaves a cache: the files, but nothing that only the process had. Returns `into`. */
export function killed(directory: string, into: string): string {
  Deno.mkdirSync(into);
  for (const { name } of Deno.readDirSync(directory)) {
    if (name.startsWith("metadata.")) Deno.copyFileSync(`${directory}/${name}`, `${into}/${name}`);
  }
  return into;
}
