/**
 * Binds chunks that need no upload: holes, and chunks that the bucket holds already. Those that come
 * while a `stage` is under way go together in the next one.
 */
import type { FilesystemPort } from "../filesystem/port.ts";
import type { Placement } from "../filesystem/protocol.ts";
import { describe, type Log } from "./context.ts";
import { placementOf, type Target } from "./placing.ts";
import { ENGINE_LIMITS } from "./settings.ts";

export class LoosePlacements {
  readonly #filesystem: FilesystemPort;
  readonly #log: Log;
  readonly #line: { target: Target; source: Placement["source"] }[] = [];
  #staging = false;

  constructor(options: { filesystem: FilesystemPort; log: Log }) {
    this.#filesystem = options.filesystem;
    this.#log = options.log;
  }

  add(target: Target, source: Placement["source"]): void {
    this.#line.push({ target, source });
    if (!this.#staging) this.#stage();
  }

  async #stage(): Promise<void> {
    this.#staging = true;
    // Whatever the same turn brings goes into the first question too.
    await Promise.resolve();
    while (this.#line.length > 0) {
      const batch = this.#line.splice(0, ENGINE_LIMITS.STAGE_PLACEMENTS);
      try {
        const { placed } = await this.#filesystem.call("stage", {
          placements: batch.map(({ target, source }) => placementOf(target, source)),
        });
        batch.forEach(({ target }, i) => target.settle(placed[i]));
      } catch (error) {
        this.#log("error", "chunks could not be bound", { error: describe(error) });
        for (const { target } of batch) target.settle("unstaged");
      }
    }
    this.#staging = false;
  }
}
