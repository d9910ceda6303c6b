/**
 * Binds chunks that need no upload: holes, and chunks that the bucket holds already. Those that come
 * while a `stage` is under way go together in the next one.
 */
import type { FilesystemPort } from "../filesystem/port.ts";
import type { Placement, Refusal } from "../filesystem/protocol.ts";
import { Gathered } from "../runtime/gathered.ts";
import { describe, type Log } from "./context.ts";
import { placementOf, type Target } from "./placing.ts";
import { ENGINE_LIMITS } from "./settings.ts";

interface LoosePlacement {
  target: Target;
  source: Placement["source"];
}

export class LoosePlacements {
  readonly #filesystem: FilesystemPort;
  readonly #log: Log;
  readonly #line: Gathered<LoosePlacement, true | Refusal>;

  constructor(options: { filesystem: FilesystemPort; log: Log }) {
    this.#filesystem = options.filesystem;
    this.#log = options.log;
    const most = ENGINE_LIMITS.STAGE_PLACEMENTS;
    this.#line = new Gathered((batch) => this.#stage(batch), { most });
  }

  /** Tells the target what came of it. Never rejects. */
  async add(target: Target, source: Placement["source"]): Promise<void> {
    target.settle(await this.#line.ask({ target, source }));
  }

  async #stage(batch: readonly LoosePlacement[]): Promise<(true | Refusal)[]> {
    try {
      const { placed } = await this.#filesystem.call("stage", {
        placements: batch.map(({ target, source }) => placementOf(target, source)),
      });
      return placed;
    } catch (error) {
      this.#log("error", "chunks could not be bound", { error: describe(error) });
      return batch.map(() => "unstaged");
    }
  }
}
