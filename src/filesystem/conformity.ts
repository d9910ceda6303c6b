/**
 * Makes content files what lent ones must be: byte for byte the file, and as long. Otherwise the map
 * decides what is valid: behind a row's length, in holes and past the last row a content file may hold
 * what a crash or a failed write left there, and it may end before a hole does. Looks at each state of
 * a file once, in slices, and changes nothing that a row names; rows are durable before bytes go.
 */
import type { ContentFile } from "../content/content_store.ts";
import { PARKED, type Parked, type RequestHeader } from "../fuse/operations.ts";
import type { Core } from "./core.ts";
import type { FileState } from "./file_state.ts";
import type { Inode } from "./inode.ts";

const SLICE_ROWS = 1000;
/** Holes are blocks; what lies behind valid bytes in the same block has to be read. */
const BLOCK = 4096;
/** Ranges of one file that are mended; one with more is served visibly. */
const MENDED_RANGES = 1000;
/** Files whose state is remembered. */
const REMEMBERED = 10_000;

interface Range {
  offset: number;
  length: number;
}

/** What was found of a file in one state. */
interface Finding {
  readonly incarnation: number;
  readonly generation: number;
  /** Undefined: still being looked at. */
  conforms: boolean | undefined;
}

/** A look that is not at its end. */
interface Look {
  next: number;
  /** Bytes before it are what they must be, but for `wrong`. */
  end: number;
  wrong: Range[];
}

export class Conformity {
  readonly #core: Core;
  /** The rest of a block whose beginning is valid. */
  readonly #rest = new Uint8Array(BLOCK);
  readonly #findings = new Map<number, Finding>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** Something was written to the content file that no row names. */
  forget(inode: number): void {
    this.#findings.delete(inode);
  }

  /** Whether the content file of an idle, wholly resident file can be lent; PARKED: asked again later. */
  check(request: RequestHeader, file: FileState): boolean | Parked {
    const { inode } = file;
    // It was lent as it had to be, and what was stored into it since is the file: rows follow later.
    if (this.#core.unseen.has(inode.id)) return this.lengthen(request, file, "open") ?? true;
    let finding = this.#findings.get(inode.id);
    if (finding === undefined || !isOf(finding, inode)) finding = this.#begin(file);
    if (finding.conforms !== undefined) return finding.conforms;
    this.#core.lot.park(request, { operation: "open", reason: "slices", file });
    return PARKED;
  }

  /** Whether it can be lent as it is: nothing is changed, and nobody waits. A file of many rows is not looked at. */
  conforms(file: FileState): boolean {
    const { inode } = file;
    const core = this.#core;
    if (core.unseen.has(inode.id)) return false;
    const known = this.#findings.get(inode.id);
    if (known !== undefined && isOf(known, inode)) return known.conforms === true;
    core.flush(file);
    const content = core.content(inode, false);
    if (content === undefined || core.store.length(content) !== inode.size) return false;
    const look: Look = { next: 0, end: 0, wrong: [] };
    if (!this.#seen(inode, content, look) || look.wrong.length > 0) return false;
    this.#remember(inode, true);
    return true;
  }

  /**
   * Makes the content file of a lent file that grew, or that a crash left behind its size, as long as
   * the file: its readers ask nobody. PARKED: asked again once it may be.
   */
  lengthen(request: RequestHeader, file: FileState, operation: string): Parked | undefined {
    const core = this.#core;
    const { inode } = file;
    const content = core.content(inode, false);
    if (content === undefined || core.store.length(content) >= inode.size) return undefined;
    // A longer file would hide from a repair after a power cut that its bytes never reached the disk.
    if (core.unsynced.has(inode.id)) {
      core.lot.park(request, { operation, reason: "sync", file });
      file.jobs++;
      core.whenDurable(inode.id, () => {
        file.jobs--;
        core.lot.wake(file, "sync");
        core.files.dropIfIdle(file);
      });
      return PARKED;
    }
    core.store.truncate(content, inode.size);
    core.unseen.wrote(inode);
    return undefined;
  }

  #begin(file: FileState): Finding {
    const { id } = file.inode;
    const finding = this.#remember(file.inode, undefined);
    const look = { next: 0, end: 0, wrong: [] };
    try {
      if (!this.#slice(file, finding, look)) {
        file.jobs++;
        this.#later(file, finding, look);
      }
    } catch (error) {
      this.forget(id);
      throw error;
    }
    return finding;
  }

  #remember({ id, incarnation, generation }: Inode, conforms: boolean | undefined): Finding {
    const finding: Finding = { incarnation, generation, conforms };
    if (this.#findings.size >= REMEMBERED) this.#findings.clear();
    this.#findings.set(id, finding);
    return finding;
  }

  #later(file: FileState, finding: Finding, look: Look): void {
    const core = this.#core;
    core.timers.after(0, () => {
      let more = false;
      let failed = true;
      core.guard(() => {
        more = this.#isStill(file, finding) && !this.#slice(file, finding, look);
        failed = false;
      });
      if (more) return this.#later(file, finding, look);
      if (failed) finding.conforms = false;
      this.#over(file);
    });
  }

  #over(file: FileState): void {
    file.jobs--;
    this.#core.lot.wake(file, "slices");
    this.#core.files.dropIfIdle(file);
  }

  #isStill(file: FileState, finding: Finding): boolean {
    return this.#findings.get(file.inode.id) === finding && isOf(finding, file.inode);
  }

  /** Looks at some rows. True: nothing is left to look at here. */
  #slice(file: FileState, finding: Finding, look: Look): boolean {
    const core = this.#core;
    const { inode } = file;
    core.flush(file);
    const content = core.content(inode, false);
    if (content === undefined) {
      finding.conforms = false;
      return true;
    }
    const seen = this.#seen(inode, content, look);
    if (look.wrong.length > MENDED_RANGES) {
      finding.conforms = false;
      return true;
    }
    if (!seen) return false;
    if (look.wrong.length === 0 && core.store.length(content) === inode.size) {
      finding.conforms = true;
    } else {
      this.#mend(file, finding, look.wrong);
    }
    return true;
  }

  /** Looks at the next rows. True: there are no more, and it has looked at what lies behind the last one. */
  #seen(inode: Inode, content: ContentFile, look: Look): boolean {
    const { chunkSize, maps } = this.#core;
    const rows = maps.range(inode.id, { from: look.next, until: Infinity, limit: SLICE_ROWS });
    for (const row of rows) {
      const start = row.index * chunkSize;
      this.#gap(content, look, start);
      look.end = start + row.length;
    }
    if (rows.length === SLICE_ROWS) {
      look.next = rows[rows.length - 1].index + 1;
      return false;
    }
    this.#gap(content, look, inode.size);
    return true;
  }

  /** What lies between the rows must read as zeros. */
  #gap(content: ContentFile, look: Look, until: number): void {
    if (until <= look.end) return;
    const block = Math.min(Math.ceil(look.end / BLOCK) * BLOCK, until);
    const rest = this.#rest.subarray(0, block - look.end);
    const found = this.#core.store.read(content, rest, look.end);
    const isZero = rest.subarray(0, found).every((byte) => byte === 0);
    if (isZero && (block === until || !this.#core.store.hasData(content, block, until))) return;
    look.wrong.push({ offset: look.end, length: until - look.end });
  }

  /** The rows become durable first: those on the disk may still name these bytes, and the end. */
  #mend(file: FileState, finding: Finding, wrong: Range[]): void {
    const core = this.#core;
    const content = core.content(file.inode, false)!;
    file.jobs++;
    core.helper.sync({ files: [content], folders: [], wal: true }, (errno) => {
      if (errno !== 0) {
        core.syncFailed(errno, `the content of inode ${file.inode.id}`);
        finding.conforms = false;
      } else if (this.#isStill(file, finding) && !file.unsettled) {
        finding.conforms = false;
        core.guard(() => {
          this.#apply(file.inode, wrong);
          finding.conforms = true;
        });
      } else if (this.#findings.get(file.inode.id) === finding) {
        this.forget(file.inode.id);
      }
      this.#over(file);
    });
  }

  #apply(inode: Inode, wrong: Range[]): void {
    const { store } = this.#core;
    const content = this.#core.content(inode, false)!;
    for (const { offset, length } of wrong) store.punch(content, offset, length);
    if (store.length(content) !== inode.size) store.truncate(content, inode.size);
    this.#core.unseen.wrote(inode);
  }
}

const isOf = (finding: Finding, inode: Inode) =>
  finding.incarnation === inode.incarnation && finding.generation === inode.generation;
