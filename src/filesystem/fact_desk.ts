/**
 * Answers what a policy has to know, and keeps what it says: facts of files, classes, pins. Owns the
 * news that make files unsorted again; knows no policy. Work that grows with a directory or with the
 * number of files is cut into slices.
 */
import { Errno } from "../domain/errno.ts";
import { FsError, UserError } from "../domain/errors.ts";
import type { FactNeeds, FactsRow } from "../metadata/facts_table.ts";
import { PIN_NAME, pinValue } from "../metadata/pins.ts";
import { keepPolicyCopy } from "../metadata/policy_copy.ts";
import { UsageClass } from "../metadata/schema.ts";
import type { XattrTable } from "../metadata/xattr_table.ts";
import type { Core } from "./core.ts";
import { FileType, type Inode, isDirectory, isRegular } from "./inode.ts";
import type { Namespace } from "./namespace.ts";
import type { QueuePlace } from "../metadata/usage_table.ts";
import type { PolicyCommands, SettledFile } from "./policy_protocol.ts";
import type { Reaper } from "./reaper.ts";

/** Names or files that one slice looks at, between requests. */
const SLICE = 128;
const OPEN_FILES = 10_000;
/** Files whose news are written at once: a millisecond, for which a request may have to wait. */
const NEWS = 32;
/** At most so often is the engine told that something is unsorted, milliseconds. */
const TELL_MS = 1000;

/** Setting: the policy that all classes are by. */
const SORTED_BY = "sorted_by";
/** Setting: a directory had moved when the last mount ended, and some of what is below it is not unsorted yet. */
const MOVED = "sorted_before_move";

const QUEUES = {
  first: UsageClass.FIRST,
  ranked: UsageClass.RANKED,
  held: UsageClass.HELD,
} as const;

export class FactDesk {
  readonly #core: Core;
  readonly #reaper: Reaper;
  readonly #namespace: () => Namespace;
  readonly #xattrs: XattrTable;
  #told = false;
  /** Something has become unsorted since the engine was told. */
  #untold = false;
  /** Directories that have moved, and of which not all below is unsorted yet. */
  #walks = 0;

  constructor(core: Core, parts: { reaper: Reaper; namespace: () => Namespace }) {
    this.#core = core;
    this.#reaper = parts.reaper;
    this.#namespace = parts.namespace;
    this.#xattrs = core.xattrs;
    core.usage.onUnsorted = () => this.#tell();
  }

  #tell(): void {
    this.#untold = true;
    if (this.#told) return;
    this.#told = true;
    this.#untold = false;
    this.#core.emit({ event: "unsorted" });
    this.#core.timers.after(TELL_MS, () => {
      this.#told = false;
      if (this.#untold) this.#tell();
    });
  }

  /** Rows are as memory is. */
  #settle(): void {
    this.#settleFiles();
    const core = this.#core;
    core.usage.flush();
    core.journal.flush();
    core.uses.flush();
  }

  /** The same but for news of uses, which come in their turn. */
  #settleFiles(): void {
    this.#core.flushAll();
    this.#core.inodes.flush(Infinity);
  }

  #facts(inode: number, needs: FactNeeds): FactsRow | undefined {
    const facts = this.#core.facts.get(inode, needs);
    return facts && this.#live(facts);
  }

  /** With what only memory knows. */
  #live(facts: FactsRow): FactsRow {
    const file = this.#core.files.peek(facts.inode);
    if (file === undefined) return facts;
    facts.open = !file.idle;
    facts.writing = file.writers > 0;
    return facts;
  }

  unsorted(
    { limit, after, needs }: PolicyCommands["unsorted"][0],
  ): PolicyCommands["unsorted"][1] {
    const { usage, clock } = this.#core;
    this.#settleFiles();
    const place = after ?? usage.beginSorting(clock.wallMs());
    const { inodes, next } = usage.unsorted(place, { limit, flush: NEWS });
    const facts: FactsRow[] = [];
    for (const inode of inodes) {
      const each = this.#facts(inode, needs);
      // Gone, nameless, or nothing of it is here: it comes back when that changes.
      if (each === undefined || each.resident === 0) usage.setResident(inode, false);
      else facts.push(each);
    }
    return { facts, next };
  }

  sort({ files }: PolicyCommands["sort"][0]): void {
    this.#core.usage.sort(files);
  }

  queue(argument: PolicyCommands["queue"][0]): PolicyCommands["queue"][1] {
    const { limit, after, needs } = argument;
    this.#settleFiles();
    const { facts, usage, files: open, clock, database } = this.#core;
    // What was sorted by another policy, or under another name, says nothing.
    const trusted = this.#walks === 0 && database.setting(SORTED_BY) === argument.policy;
    const most = trusted ? limit : Math.min(limit, argument.facts);
    const { epoch } = facts;
    const rows = usage.queue(QUEUES[argument.queue], {
      after,
      limit: most,
      now: clock.wallMs(),
    });
    const files: (FactsRow | SettledFile)[] = [];
    let asked = 0;
    let last: QueuePlace | undefined;
    for (const { inode, rank, bytes, stamp, settled } of rows) {
      if (asked === argument.facts) return { files, next: last };
      last = { inode, rank };
      // Whatever there is news of is about to be sorted again, and in no queue until then.
      if (usage.hasNews(inode)) continue;
      if (trusted && settled !== null && open.peek(inode) === undefined) {
        files.push({ inode, stamp, epoch, frees: bytes, settled });
        continue;
      }
      asked++;
      const each = this.#facts(inode, needs);
      if (each !== undefined) files.push(each);
    }
    return { files, next: rows.length < most ? undefined : last };
  }

  facts({ inodes, needs }: PolicyCommands["facts"][0]): PolicyCommands["facts"][1] {
    this.#settleFiles();
    this.#core.journal.flush();
    return inodes.map((inode) => this.#facts(inode, needs));
  }

  openFacts({ needs }: PolicyCommands["openFacts"][0]): FactsRow[] {
    this.#settle();
    const found: FactsRow[] = [];
    for (const { inode } of this.#core.files.values()) {
      if (inode.resident === inode.local) continue;
      const facts = this.#facts(inode.id, needs);
      if (facts !== undefined) found.push(facts);
      if (found.length === OPEN_FILES) break;
    }
    return found;
  }

  keep({ inodes }: PolicyCommands["keep"][0]): void {
    const { database } = this.#core;
    this.#settleFiles();
    const keep = database.statement("UPDATE inode SET kept = 1 WHERE id = ? AND dirty = 1");
    database.transaction(() => {
      for (const inode of inodes) keep.run(inode);
    });
  }

  /** In a transaction or not: a policy may say otherwise of this file from now on. */
  changed(inode: Inode): void {
    if (!isRegular(inode)) return;
    this.#core.database.statement("UPDATE inode SET kept = 0 WHERE id = ? AND kept = 1")
      .run(inode.id);
    this.#core.usage.touch(inode.id);
  }

  /** A directory has another name, or another pin: so have all below it. */
  directoryChanged(directory: Inode): void {
    const { facts, inodes } = this.#core;
    facts.forgetDirectories();
    this.#walks++;
    const stack = [{ inode: directory.id, after: 0 }];
    this.#reaper.add(() => {
      const top = stack.at(-1);
      if (top !== undefined) {
        if (inodes.get(top.inode) === undefined) stack.pop();
        else this.#changedBelow(top, stack);
      }
      if (stack.length === 0) this.#walks--;
      return stack.length > 0;
    });
  }

  /** The mount ends: what it has not got round to, the next one does by sorting everything anew. */
  end(): void {
    if (this.#walks > 0) this.#core.database.setSetting(MOVED, 1);
  }

  #changedBelow(
    top: { inode: number; after: number },
    stack: { inode: number; after: number }[],
  ): void {
    const names = this.#namespace().children({ ...top, limit: SLICE });
    this.#core.database.transaction(() => {
      for (const { inode, type } of names) {
        if (type !== FileType.REGULAR >> 12) continue;
        const child = this.#core.inodes.get(inode);
        if (child !== undefined) this.changed(child);
      }
    });
    // Only now: a full disk may have undone the slice, which is done again then.
    if (names.length < SLICE) stack.splice(stack.indexOf(top), 1);
    else top.after = names[names.length - 1].cookie;
    for (const { inode, type } of names) {
      if (type === FileType.DIRECTORY >> 12) stack.push({ inode, after: 0 });
    }
  }

  /** See the protocol. */
  reclassify({ policy }: PolicyCommands["reclassify"][0], answer: () => void): void {
    const { database, usage } = this.#core;
    const moved = database.setting(MOVED) !== undefined;
    if (database.setting(SORTED_BY) === policy && !usage.needsRefill && !moved) return answer();
    database.setSetting(SORTED_BY, undefined);
    let after: number | undefined = 0;
    this.#reaper.add(() => {
      if (after !== undefined) {
        after = usage.unsortSome({ after, limit: SLICE });
        return true;
      }
      const left = database.statement(
        `UPDATE inode SET kept = 0 WHERE id IN (SELECT id FROM inode WHERE kept = 1 LIMIT ${SLICE})`,
      ).run();
      if (Number(left.changes) === SLICE) return true;
      database.setSetting(SORTED_BY, policy);
      if (moved) database.setSetting(MOVED, undefined);
      usage.onUnsorted();
      answer();
      return false;
    });
  }

  keepPolicy({ text }: PolicyCommands["keepPolicy"][0]): boolean {
    return this.#core.readOnlyReason !== undefined || keepPolicyCopy(this.#core, text);
  }

  pin({ inode: id, pinned, untilMs }: PolicyCommands["pin"][0]): void {
    const core = this.#core;
    core.requireWritable();
    const inode = core.inodes.require(id);
    if (!isRegular(inode) && !isDirectory(inode)) {
      throw new UserError("only files and directories can be pinned");
    }
    // The sums are written too: rows that they count must not be in memory only.
    const file = core.files.peek(id);
    if (file !== undefined) core.flush(file);
    core.database.transaction(() => {
      inode.pinned = pinned;
      core.inodes.writeContent(inode);
      if (pinned && untilMs !== undefined) this.#xattrs.set(id, PIN_NAME, pinValue(untilMs));
      else this.#xattrs.delete(id, PIN_NAME);
    });
    const until = untilMs === undefined ? "" : `until ${new Date(untilMs).toISOString()}`;
    const what = pinned ? "pinned" : "unpinned";
    core.journal.note({ inode: id, atMs: core.clock.wallMs(), what, who: until, bytes: 0 });
    if (isDirectory(inode)) this.directoryChanged(inode);
    else this.changed(inode);
  }

  /** The same by the attribute: `1` for ever, `0` or nothing for no pin, or the time at which it ends. */
  setPin(inode: Inode, text: string | undefined): void {
    if (text === undefined || text === "0") return this.pin({ inode: inode.id, pinned: false });
    if (text === "1") return this.pin({ inode: inode.id, pinned: true });
    const untilMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : NaN;
    if (Number.isNaN(untilMs)) throw new FsError(Errno.EINVAL, `'${text}' is no pin`);
    this.pin({ inode: inode.id, pinned: true, untilMs });
  }

  /** Until when the user has pinned an inode, itself or by a directory above it; -Infinity: not. */
  pinnedUntil(inode: Inode): number {
    return this.#core.facts.pinnedUntil(inode.id);
  }

  /** What `user.zero.pin` shows: the pin that holds, an inherited one as well. */
  pinText(inode: Inode): string {
    const until = this.pinnedUntil(inode);
    if (until <= this.#core.clock.wallMs()) return "0";
    return until === Infinity ? "1" : new Date(until).toISOString();
  }
}
