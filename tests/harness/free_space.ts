/** Watches the free space of a disk while a test runs. Never touches a mount of the program under test. */
import * as libc from "../../src/runtime/libc.ts";

const SAMPLE_MS = 25;

/** Bytes that are free for everybody. */
export function freeBytes(path: string): number {
  const volume = libc.statvfs(path);
  if (typeof volume === "number") throw new Error(`statvfs of ${path} failed: errno ${-volume}`);
  return volume.availableBytes;
}

export class FreeSpaceWatch implements Disposable {
  /** The least that was seen. */
  leastBytes = Infinity;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(path: string) {
    this.#timer = setInterval(() => {
      this.leastBytes = Math.min(this.leastBytes, freeBytes(path));
    }, SAMPLE_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
