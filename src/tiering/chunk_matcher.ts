/** Asks the filesystem isolate which chunks the bucket holds already, of many at a time. */
import type { FilesystemPort } from "../filesystem/port.ts";
import { Gathered } from "../runtime/gathered.ts";
import { ENGINE_LIMITS } from "./settings.ts";

export class ChunkMatcher {
  readonly #hashes: Gathered<Uint8Array, number | undefined>;

  constructor(filesystem: FilesystemPort) {
    const most = ENGINE_LIMITS.MATCH_HASHES;
    this.#hashes = new Gathered((hashes) => filesystem.call("matchChunks", { hashes }), { most });
  }

  /** The row id of the chunk with this id, if the bucket holds it. */
  match(hash: Uint8Array): Promise<number | undefined> {
    return this.#hashes.ask(hash);
  }
}
