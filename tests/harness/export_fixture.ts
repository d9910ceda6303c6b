/** Exports out of a whole Zero without a kernel: from its cache or from its bucket in memory. */
import type { ExportSource } from "../../src/daemon/export_source.ts";
import { type ExportOptions, type ExportReport, exportTree } from "../../src/daemon/export_tree.ts";
import { MetadataDatabase } from "../../src/metadata/database.ts";
import { TreeReader } from "../../src/metadata/tree_reader.ts";
import type { ObjectStore } from "../../src/object_store/object_store.ts";
import { CHUNK, FILE_SYSTEM } from "./care_fixture.ts";

/** A bucket that counts what is asked of it, and fails when told to. */
export class CountedStore {
  gets = 0;
  bytes = 0;
  /** Called before each GET; throws what the bucket is to answer. */
  before: (key: string) => void = () => {};
  /** Changes what a GET answers. */
  after: (key: string, bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> = (_, bytes) =>
    bytes;
  readonly store: ObjectStore;

  constructor(inner: ObjectStore) {
    this.store = new Proxy(inner, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (name !== "get") return typeof value === "function" ? value.bind(target) : value;
        return async (...[key, options]: Parameters<ObjectStore["get"]>) => {
          this.before(key);
          const bytes = this.after(key, await target.get(key, options));
          this.gets++;
          this.bytes += bytes.length;
          return bytes;
        };
      },
    });
  }
}

/** Exports what a cache shows. */
export async function exportCache(
  cache: string,
  options: Partial<ExportOptions> & { to: string; store: ObjectStore },
): Promise<ExportReport> {
  const database = MetadataDatabase.open({ directory: cache, readOnly: true });
  try {
    const tree = new TreeReader(database);
    const source: ExportSource = {
      tree,
      fileSystem: FILE_SYSTEM,
      chunkSize: CHUNK,
      secrets: undefined,
      description: cache,
      pointMs: undefined,
      content: `${cache}/content`,
      notNewest: [],
      notes: [],
      store: () => Promise.resolve(options.store),
      pieces: (inode, range) => tree.working(inode, range),
    };
    return await exportTree(source, {
      names: [],
      force: false,
      verify: false,
      parallel: 4,
      progress: () => {},
      ...options,
    });
  } finally {
    database.close({ clean: false });
  }
}
