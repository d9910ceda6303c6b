/** The engine's part of content_player.ts: uploads now, stages later or never, evicts, spills, recalls. */
import type { ContentModel, ModelFile } from "./content_model.ts";
import type { RecallEvent, Upload } from "./fake_engine.ts";
import { assertSaved } from "./filesystem_checks.ts";
import type { FilesystemFixture } from "./filesystem_fixture.ts";

export class EnginePlayer {
  readonly model: ContentModel;
  protected readonly chunk: number;
  #uploads: Upload[] = [];
  #answered: RecallEvent[] = [];
  /** Inodes of snapshots that are not ended. */
  #shadows = new Set<number>();

  constructor(model: ContentModel) {
    this.model = model;
    this.chunk = model.fixture.core.chunkSize;
  }

  get fixture(): FilesystemFixture {
    return this.model.fixture;
  }

  /** The engine is a new one after a crash. */
  protected forgetAll(): void {
    this.#uploads = [];
    this.#answered = [];
    this.#shadows = new Set();
  }

  protected file(n: number): ModelFile | undefined {
    const files = this.model.reachable;
    return files[n % Math.max(1, files.length)];
  }

  _upload(a: number): void {
    const file = this.file(a);
    if (file === undefined) return;
    this.fixture.engine.read(file.inode, (upload) => {
      if (upload !== undefined) this.#uploads.push(upload);
      if (this.#uploads.length > 6) this.#uploads.shift();
    });
  }

  _stage(a: number, b: number): void {
    const upload = this.#uploads[a % Math.max(1, this.#uploads.length)];
    if (upload === undefined) return;
    const some = b % 3 === 0
      ? upload.chunks.filter(({ index }) => (b >>> (index % 30)) % 2 === 0)
      : upload.chunks;
    this.fixture.engine.stage({ ...upload, chunks: some }, { verified: b % 5 > 0 });
  }

  _save(a: number): void {
    const upload = this.#uploads[a % Math.max(1, this.#uploads.length)];
    if (upload === undefined) return;
    const { inode, generation } = upload;
    this.fixture.engine.ask("save", { files: [{ inode, generation }] }, () => {});
  }

  _saveWhole(a: number): void {
    const file = this.file(a);
    if (file !== undefined) this.fixture.engine.save(file.inode);
  }

  /** Whatever becomes of the file meanwhile, its version is what it was at this moment. */
  _snapshot(a: number, b: number): void {
    const file = this.file(a);
    if (file === undefined || this.#shadows.size >= 3) return;
    this.model.drain();
    // What is under way may count before the snapshot or after it.
    if (this.model.isChanging(file) || this.model.isWriting(file)) return;
    const { inode: origin, bytes } = file;
    const { fixture } = this;
    fixture.engine.ask("snapshot", { inode: origin }, (answer) => {
      if (typeof answer === "string") return;
      const { shadow } = answer;
      this.#shadows.add(shadow);
      fixture.engine.save(shadow, {
        verified: b % 5 > 0,
        later: (saved) => {
          if (saved === true) assertSaved(fixture, { inode: origin, bytes });
          if (b % 8 > 0) this.#endShadow(shadow);
        },
      });
    });
  }

  #endShadow(shadow: number): void {
    this.#shadows.delete(shadow);
    this.fixture.engine.call("endSnapshot", { shadow });
  }

  /** Nothing is left of snapshots once they are ended. */
  protected endShadows(): void {
    for (const shadow of this.#shadows) this.#endShadow(shadow);
  }

  _evict(a: number, b: number): void {
    const file = this.file(a);
    if (file === undefined) return;
    if (b % 2 === 0) {
      const packs = this.fixture.engine.call("unverifiedPacks", { inodes: [file.inode] });
      this.fixture.engine.call("verified", { packs: packs.map(({ pack }) => pack) });
    }
    this.fixture.engine.evict(file.inode);
  }

  _spill(a: number): void {
    this.fixture.engine.call("spill", { bytes: (1 + a % 6) * this.chunk });
  }

  _bulk(a: number): void {
    const file = this.file(a);
    if (file !== undefined) this.fixture.engine.ask("recallFile", { inode: file.inode }, () => {});
  }

  _install(a: number): void {
    const { recalls } = this.fixture.engine;
    const event = recalls[a % Math.max(1, recalls.length)];
    if (event === undefined) return;
    this.#answered.push(event);
    if (this.#answered.length > 8) this.#answered.shift();
    this.fixture.engine.install(event);
  }

  _failRecall(a: number): void {
    const { recalls } = this.fixture.engine;
    const event = recalls[a % Math.max(1, recalls.length)];
    if (event === undefined) return;
    this.model.files.get(event.inode)!.failed = true;
    this.fixture.engine.fail(event);
  }

  /** Bytes that arrive a second time, or after somebody stopped wanting them. */
  _installAgain(a: number): void {
    const event = this.#answered[a % Math.max(1, this.#answered.length)];
    if (event !== undefined) this.fixture.engine.install(event);
  }
}
