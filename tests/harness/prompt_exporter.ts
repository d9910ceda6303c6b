/** The metadata exporter without an isolate, for simulated clocks; reads the same database files. */
import {
  type ExportLimits,
  MetadataExporter,
  type MetadataExportPort,
} from "../../src/tiering/metadata_exporter.ts";

export class PromptExporter implements MetadataExportPort {
  readonly #directory: string;
  readonly #limits: Partial<ExportLimits>;
  #inner: MetadataExporter | undefined;
  /** Runs before each request; what it throws is the answer. */
  before: (call: string) => void | Promise<void> = () => {};

  constructor(directory: string, limits: Partial<ExportLimits> = {}) {
    this.#directory = directory;
    this.#limits = limits;
  }

  async #ask<T>(call: string, action: (exporter: MetadataExporter) => T): Promise<T> {
    await Promise.resolve();
    await this.before(call);
    return action(this.#inner ??= new MetadataExporter(this.#directory, this.#limits));
  }

  unshipped(limit: number) {
    return this.#ask("unshipped", (inner) => inner.unshipped(limit));
  }

  changes(request: Parameters<MetadataExporter["changes"]>[0]) {
    return this.#ask("changes", (inner) => inner.changes(request));
  }

  segment(place: Parameters<MetadataExporter["segment"]>[0]) {
    return this.#ask("segment", (inner) => inner.segment(place));
  }

  segmentObject(header: Parameters<MetadataExporter["segmentObject"]>[0]) {
    return this.#ask("segmentObject", (inner) => inner.segmentObject(header));
  }

  close(): void {
    this.#inner?.close();
    this.#inner = undefined;
  }
}
