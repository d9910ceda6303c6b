/**
 * The engine's requests about the metadata in the bucket: what has changed is separated from what
 * changes later, made durable before it is sent (law 0), and forgotten once it is confirmed.
 */
import { ChangeLog } from "../metadata/change_log.ts";
import type { Core } from "./core.ts";
import type { ShippingCommands } from "./shipping_protocol.ts";

export class Shipping {
  readonly #core: Core;
  readonly #log: ChangeLog;

  constructor(core: Core) {
    this.#core = core;
    this.#log = new ChangeLog(core.database);
  }

  reading(): ShippingCommands["metadataReading"][1] {
    const core = this.#core;
    if (core.readOnlyReason !== undefined) return undefined;
    core.flushAll();
    core.inodes.flush(Infinity);
    // Others read what is committed, and what they have not read must not be forgotten.
    const readingSequence = core.database.transaction(() => this.#log.beginReading(), {
      commit: true,
    });
    return { readingSequence, state: this.#log.state() };
  }

  /** Answers true once the rows, and that they are being sent, are durable. */
  sending(
    { hashes }: ShippingCommands["metadataSending"][0],
    answer: (durable: boolean) => void,
  ): void {
    const core = this.#core;
    core.database.transaction(() => this.#log.update({ intents: hashes }));
    core.helper.sync({ files: [], folders: [], wal: true }, (errno) => {
      if (errno !== 0) core.syncFailed(errno, "the metadata");
      answer(errno === 0);
    });
  }

  shipped(object: ShippingCommands["metadataShipped"][0]): void {
    this.#core.database.transaction(() => {
      this.#log.shipped(object);
      if (object.restarted) this.#log.update({ restart: false });
    });
  }

  restart(): void {
    this.#core.database.transaction(() => this.#log.restart());
  }

  snapshot(snapshot: ShippingCommands["metadataSnapshot"][0]): void {
    this.#core.database.transaction(() => this.#log.snapshotTaken(snapshot));
  }
}
