/** A compute port that works on the spot and reads "content files" out of the fake filesystem isolate. */
import type { PlacedChunk } from "../../src/format/pack_cipher.ts";
import { decodeParts, encodeBytes, reopenBytes } from "../../src/tiering/compute_jobs.ts";
import type {
  ComputePort,
  EncodeJob,
  EncodeResult,
  PartOfRange,
} from "../../src/tiering/compute_port.ts";
import type { FakeFilesystemState } from "./fake_filesystem_state.ts";

/** Computes on the spot, reading "content files" out of the fake. */
export class FakeCompute implements ComputePort {
  readonly parallel = 1;
  readonly encrypted = false;
  encoded = 0;
  decoded = 0;
  /** Runs before each read; a test may change the file here. */
  onEncode: (job: EncodeJob) => void | Promise<void> = () => {};
  readonly #filesystem: FakeFilesystemState;
  readonly #chunkSize: number;

  constructor(filesystem: FakeFilesystemState, options: { chunkSize: number }) {
    this.#filesystem = filesystem;
    this.#chunkSize = options.chunkSize;
  }

  prepare(): void {}

  async encode(job: EncodeJob): Promise<EncodeResult> {
    this.encoded++;
    const inode = Number(job.path.slice("content/".length));
    const index = job.offset / this.#chunkSize;
    const { shadows, files } = this.#filesystem;
    const file = shadows.get(inode) ?? files.get(inode);
    const bytes = file?.chunks.get(index)?.bytes?.slice(0, job.length);
    await this.onEncode(job);
    return bytes?.length === job.length ? encodeBytes(bytes) : { kind: "moved" };
  }

  async decode(stored: Uint8Array<ArrayBuffer>, parts: readonly PartOfRange[]) {
    this.decoded += parts.length;
    await Promise.resolve();
    return await decodeParts(stored, parts);
  }

  async reopen(stored: Uint8Array<ArrayBuffer>, chunk: PlacedChunk) {
    await Promise.resolve();
    return await reopenBytes(stored, chunk);
  }

  seal(): Promise<Uint8Array<ArrayBuffer>> {
    throw new Error("nothing is encrypted here");
  }

  close(): void {}
}
