/**
 * Asks the filesystem isolate which chunks the bucket holds already. Hashes that come while a
 * question is under way go together in the next one.
 */
import type { FilesystemPort } from "../filesystem/port.ts";
import { ENGINE_LIMITS } from "./settings.ts";

interface Question {
  hash: Uint8Array;
  resolve: (chunk: number | undefined) => void;
  reject: (error: unknown) => void;
}

export class ChunkMatcher {
  readonly #filesystem: FilesystemPort;
  readonly #questions: Question[] = [];
  #asking = false;

  constructor(filesystem: FilesystemPort) {
    this.#filesystem = filesystem;
  }

  /** The row id of the chunk with this id, if the bucket holds it. */
  match(hash: Uint8Array): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      this.#questions.push({ hash, resolve, reject });
      if (!this.#asking) this.#ask();
    });
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    while (this.#questions.length > 0) {
      const asked = this.#questions.splice(0, ENGINE_LIMITS.MATCH_HASHES);
      try {
        const hashes = asked.map((question) => question.hash);
        const chunks = await this.#filesystem.call("matchChunks", { hashes });
        asked.forEach((question, i) => question.resolve(chunks[i]));
      } catch (error) {
        for (const question of asked) question.reject(error);
      }
    }
    this.#asking = false;
  }
}
