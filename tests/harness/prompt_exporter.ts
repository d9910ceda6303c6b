/** The metadata exporter without an isolate, for simulated clocks; reads the same database files. */
import type { Secrets } from "../../src/format/secrets.ts";
import { type Clock, systemClock } from "../../src/runtime/clock.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import {
  type ChangesObject,
  type ExportLimits,
  MetadataExporter,
  type MetadataExportPort,
} from "../../src/tiering/metadata_exporter.ts";

export interface PromptExporterOptions {
  /** Of the times that objects tell; the system's unless given. */
  clock?: Clock;
  limits?: Partial<ExportLimits>;
  /** Of an encrypted file system. */
  secrets?: Secrets;
}

export class PromptExporter implements MetadataExportPort {
  readonly #directory: string;
  readonly #options: PromptExporterOptions;
  #inner: MetadataExporter | undefined;
  /** Runs before each request; what it throws is the answer. */
  before: (call: string) => void | Promise<void> = () => {};

  /** Told of objects of changes in the very turn in which their rows were read. */
  onChanges: (objects: ChangesObject[]) => void = () => {};

  constructor(directory: string, options: PromptExporterOptions = {}) {
    this.#directory = directory;
    this.#options = options;
  }

  async #ask<T>(call: string, action: (exporter: MetadataExporter) => T): Promise<T> {
    await Promise.resolve();
    await this.before(call);
    return action(this.#inner ??= this.#open());
  }

  #open(): MetadataExporter {
    const { clock = systemClock, limits, secrets } = this.#options;
    return new MetadataExporter(this.#directory, {
      clock,
      limits,
      secrets: secrets && { secrets, random: systemRandom },
    });
  }

  unshipped(limit: number) {
    return this.#ask("unshipped", (inner) => inner.unshipped(limit));
  }

  changes(request: Parameters<MetadataExporter["changes"]>[0]) {
    return this.#ask("changes", (inner) => {
      const objects = inner.changes(request);
      this.onChanges(objects);
      return objects;
    });
  }

  segment(place: Parameters<MetadataExporter["segment"]>[0]) {
    return this.#ask("segment", (inner) => inner.segment(place));
  }

  segmentObject(request: Parameters<MetadataExporter["segmentObject"]>[0]) {
    return this.#ask("segmentObject", (inner) => inner.segmentObject(request));
  }

  close(): void {
    this.#inner?.close();
    this.#inner = undefined;
  }
}
