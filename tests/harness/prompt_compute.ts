/** A compute port that works on the spot, on real files: no isolates, for simulated clocks. */
import { type PlacedChunk, sealPack } from "../../src/format/pack_cipher.ts";
import type { Secrets } from "../../src/format/secrets.ts";
import { decodeParts, encodeFile, reopenBytes } from "../../src/tiering/compute_jobs.ts";
import type {
  ComputePort,
  EncodeJob,
  EncodeResult,
  PartOfRange,
} from "../../src/tiering/compute_port.ts";

export class PromptCompute implements ComputePort {
  readonly parallel = 1;
  readonly #secrets: Secrets | undefined;

  constructor(secrets?: Secrets) {
    this.#secrets = secrets;
  }

  get encrypted(): boolean {
    return this.#secrets !== undefined;
  }

  prepare(): void {}

  async encode(job: EncodeJob): Promise<EncodeResult> {
    await Promise.resolve();
    return encodeFile(job, this.#secrets);
  }

  async decode(stored: Uint8Array<ArrayBuffer>, parts: readonly PartOfRange[]) {
    await Promise.resolve();
    return await decodeParts(stored, parts, this.#secrets);
  }

  async reopen(stored: Uint8Array<ArrayBuffer>, chunk: PlacedChunk) {
    await Promise.resolve();
    return await reopenBytes(stored, chunk, this.#secrets);
  }

  async seal(draft: Uint8Array<ArrayBuffer>) {
    await Promise.resolve();
    return await sealPack(draft, this.#secrets!);
  }

  close(): void {}
}
