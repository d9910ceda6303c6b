/** What the engine asks, carried out. Every command re-checks; most answer at once, some later. */
import { Errno } from "../domain/errno.ts";
import { DEFAULT_HALF_LIFE_MS } from "../domain/heat.ts";
import { FsError, unreachable } from "../domain/errors.ts";
import { OrphanTable } from "../metadata/orphan_table.ts";
import type { Filesystem } from "./filesystem.ts";
import { UsageClass } from "../metadata/schema.ts";
import { applyShipped } from "./following.ts";
import { FileType, type Inode } from "./inode.ts";
import type {
  Commands,
  FileResidency,
  FilesystemReport,
  LongWriter,
  SpaceReport,
} from "./protocol.ts";

/** A file that is written for so long is worth naming: its versions come by the deadline only. */
const LONG_WRITING_MS = 60_000;
const LONG_WRITERS_NAMED = 10;
/** Parked requests that a report names, at most. */
const WAITING_NAMED = 100;

/** Answers a command; exactly once. */
export type Answer = (result: unknown) => void;
/** Answers a command with an error instead, later than `run` could throw it. */
export type Fail = (error: unknown) => void;

export class CommandRunner {
  readonly #filesystem: Filesystem;
  readonly #stop: (reason: string, done: () => void) => void;
  /** Requests that the session has answered, and defects it has met: for reports. */
  served = 0;
  defects = 0;

  constructor(
    filesystem: Filesystem,
    options: { stop: (reason: string, done: () => void) => void },
  ) {
    this.#filesystem = filesystem;
    this.#stop = options.stop;
  }

  /** Runs a command. Throws what it throws; otherwise `answer` or `fail` is called, now or later. */
  run<K extends keyof Commands>(
    command: K,
    argument: Commands[K][0],
    { answer, fail }: { answer: Answer; fail: Fail },
  ): void {
    const fs = this.#filesystem;
    const name: keyof Commands = command;
    // One cast in one place: the pairs are checked where they are declared (Commands).
    // deno-lint-ignore no-explicit-any
    const a = argument as any;
    switch (name) {
      case "dirtyFiles":
        return answer(fs.saver.dirtyFiles(a));
      case "dirtyChunks":
        return fs.core.whenDurable(a.inode, () => answer(this.#dirtyChunks(a)));
      case "matchChunks":
        return answer(fs.saver.matchChunks(a));
      case "stage":
        return fs.saver.stager.stage(a, answer);
      case "save":
        return fs.saver.save(a, answer);
      case "snapshot":
        return fs.snapshots.take(a, answer);
      case "endSnapshot":
        return answer(fs.snapshots.end(a));
      case "follow":
        return answer(applyShipped(fs, a));
      case "metadataReading":
        return answer(fs.shipping.reading());
      case "metadataSending":
        return fs.shipping.sending(a, answer);
      case "metadataShipped":
        return answer(fs.shipping.shipped(a));
      case "metadataRestart":
        return answer(fs.shipping.restart());
      case "metadataSnapshot":
        return answer(fs.shipping.snapshot(a));
      case "unverifiedPacks":
        return answer(this.#unverifiedPacks(a));
      case "verified":
        return answer(this.#verified(a));
      case "unsorted":
        return answer(fs.facts.unsorted(a));
      case "sort":
        return answer(fs.facts.sort(a));
      case "queue":
        return answer(fs.facts.queue(a));
      case "facts":
        return answer(fs.facts.facts(a));
      case "openFacts":
        return answer(fs.facts.openFacts(a));
      case "keep":
        return answer(fs.facts.keep(a));
      case "reclassify":
        return fs.facts.reclassify(a, () => answer(undefined));
      case "keepPolicy":
        return answer(fs.facts.keepPolicy(a));
      case "tally":
        return answer(fs.core.usage.tally());
      case "evict":
        return fs.dropper.evict(a, answer);
      case "spill":
        return answer(fs.dropper.spill(a));
      case "recallFile":
        return fs.bulk.start(a.inode, answer);
      case "install":
        return answer(fs.recalls.install(a));
      case "settleRecalls":
        return fs.recalls.settleAll(() => answer(undefined));
      case "recallFailed":
        return answer(fs.recalls.failed(a));
      case "space":
        return answer(this.space());
      case "configure":
        return answer(this.#configure(a));
      case "pin":
        return answer(fs.facts.pin(a));
      case "flush":
        return this.#flush({ answer, fail });
      case "residency":
        return answer(this.#residency(a.inode));
      case "resolve":
        return answer(fs.namespace.resolve(a.names));
      case "children":
        return answer(fs.namespace.children(a));
      case "pathOf":
        return answer(fs.namespace.pathOf(a.inode));
      case "statistics":
        return answer(this.#statistics());
      case "storeTime":
        return answer(fs.collection.storeTime(a));
      case "expireTrash":
        return answer(fs.collection.expireTrash(a));
      case "packs":
        return answer(fs.collection.packs(a));
      case "condemn":
        return fs.collection.condemn(a, answer);
      case "forgetPacks":
        return answer(fs.collection.forgetPacks(a));
      case "liveChunks":
        return answer(fs.collection.liveChunks(a));
      case "packVersions":
        return answer(fs.collection.packVersions(a));
      case "relocate":
        return answer(fs.collection.relocate(a));
      case "markLost":
        return answer(fs.collection.markLost(a));
      case "trash":
        return answer(fs.trash.list(a));
      case "undelete":
        return fs.trash.undelete(a, answer);
      case "purgeTrash":
        return answer(fs.trash.purge(a));
      case "readOnly":
        return answer(fs.core.goReadOnly(a.reason));
      case "stop":
        return this.#stop(a.reason, () => answer(undefined));
      default:
        return unreachable(name);
    }
  }

  /** May run later, when nobody is there to hear of a full disk: then the file is asked for again. */
  #dirtyChunks(argument: Commands["dirtyChunks"][0]): Commands["dirtyChunks"][1] {
    const { core, saver } = this.#filesystem;
    try {
      return saver.dirtyChunks(argument);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      core.space.forgetReading();
      return undefined;
    }
  }

  #unverifiedPacks({ inodes }: Commands["unverifiedPacks"][0]): Commands["unverifiedPacks"][1] {
    const packs = new Map<number, Commands["unverifiedPacks"][1][number]>();
    for (const inode of inodes) {
      for (const pack of this.#filesystem.core.chunks.unverifiedPacks(inode, 1000)) {
        packs.set(pack.pack, pack);
      }
    }
    return [...packs.values()];
  }

  #verified({ packs }: Commands["verified"][0]): void {
    const core = this.#filesystem.core;
    core.database.transaction(() => {
      for (const pack of packs) core.chunks.setVerified(pack);
    });
  }

  space(): SpaceReport {
    const { core, spaceQueue, recalls } = this.#filesystem;
    const total = core.database.statement("SELECT allocated, local FROM total").get() as {
      allocated: number;
      local: number;
    };
    core.space.forgetReading();
    const { target, high, low, hard, minFree } = core.settings;
    return {
      target,
      high,
      low,
      hard,
      minFree,
      used: core.space.used,
      reserved: core.space.reserved,
      leaving: core.space.leaving,
      local: total.local,
      allocated: total.allocated,
      diskFree: core.store.disk().free,
      waiting: spaceQueue.waiting().length + recalls.hungry,
      ...(core.keepsAll ? { keepsAll: true } : {}),
    };
  }

  #configure(settings: Commands["configure"][0]): void {
    const { core, spaceQueue } = this.#filesystem;
    core.settings = settings;
    core.readers.configure(settings.readers);
    core.usage.halfLifeMs = settings.halfLifeMs ?? DEFAULT_HALF_LIFE_MS;
    core.space.limits = settings;
    spaceQueue.relieve();
    spaceQueue.observe();
  }

  /** Everything that was acknowledged so far is durable when this answers. */
  #flush({ answer, fail }: { answer: Answer; fail: Fail }): void {
    const core = this.#filesystem.core;
    core.flushAll();
    core.inodes.flush(Infinity);
    core.usage.flush();
    core.journal.flush();
    core.helper.syncAll((errno) => {
      if (errno === 0 && !core.suspect) return answer(undefined);
      core.syncFailed(errno, "the cache's disk");
      fail(new FsError(Errno.EIO, core.readOnlyReason));
    });
  }

  #residency(id: number): FileResidency | undefined {
    const { core } = this.#filesystem;
    const inode = core.inodes.get(id);
    if (inode === undefined) return undefined;
    const file = core.files.peek(id);
    return {
      inode: id,
      generation: inode.generation,
      type: (inode.mode & FileType.MASK) >> 12,
      size: inode.size,
      allocatedBytes: inode.allocated,
      residentBytes: inode.resident,
      localBytes: inode.local,
      dirty: inode.dirty,
      pinned: inode.pinned,
      ...this.#policyOf(inode),
      openHandles: file?.handles ?? 0,
      writers: file?.writers ?? 0,
      changedMs: inode.changedMs,
      lastUsedMs: core.usage.lastUsed(id),
    };
  }

  #policyOf(inode: Inode): Pick<FileResidency, "pinnedUntilMs" | "kept"> {
    const { core } = this.#filesystem;
    const until = this.#filesystem.facts.pinnedUntil(inode);
    const row = core.database.statement("SELECT kept FROM inode WHERE id = ?").get(inode.id);
    return {
      ...(until > core.clock.wallMs() ? { pinnedUntilMs: until } : {}),
      kept: row?.kept === 1,
    };
  }

  #statistics(): FilesystemReport {
    const { core, handles } = this.#filesystem;
    const total = core.database.statement(
      "SELECT files, dirty_files, kept_files, kept_bytes FROM total",
    ).get() as { files: number; dirty_files: number; kept_files: number; kept_bytes: number };
    const pinned = core.usage.tally().find((each) => each.class === UsageClass.PINNED);
    let openBytes = 0;
    for (const { handles: open, inode } of core.files.values()) {
      if (open > 0 && !inode.pinned) openBytes += inode.resident - inode.local;
    }
    const now = core.clock.monotonicMs();
    const waiting: FilesystemReport["waiting"] = [];
    for (const parking of core.lot.values()) {
      if (waiting.length === WAITING_NAMED) break;
      if (parking.reason === "slices") continue;
      waiting.push({
        operation: parking.operation,
        inode: parking.request.inode,
        pid: parking.request.pid,
        sinceMs: Math.round(now - parking.sinceMs),
        reason: parking.reason,
      });
    }
    return {
      files: total.files,
      // Nobody waits for removed files that are still open: they end with who has them open.
      dirtyFiles: total.dirty_files - new OrphanTable(core.database).dirty().files,
      keptFiles: total.kept_files,
      keptBytes: total.kept_bytes,
      openHandles: handles.size,
      lentFiles: core.lending.open,
      openBytes,
      pinnedBytes: pinned?.bytes ?? 0,
      parked: core.lot.size,
      waiting,
      space: this.space(),
      readOnly: core.readOnlyReason,
      ...(core.trace === undefined ? {} : { trace: core.trace.report() }),
      scanners: core.scanners.report(),
      writing: this.#longWriters(),
      lostChunks: core.chunks.lostCount(),
      served: this.served,
      defects: this.defects,
    };
  }

  #longWriters(): LongWriter[] {
    const { core } = this.#filesystem;
    const before = core.clock.wallMs() - LONG_WRITING_MS;
    const saved = core.database.arrayStatement(
      "SELECT saved_ms FROM version WHERE inode = ? AND kind = 1",
    );
    return [...core.files.values()]
      .filter((file) => file.writers > 0 && file.inode.dirty && file.writingSinceMs <= before)
      .sort((a, b) => a.writingSinceMs - b.writingSinceMs).slice(0, LONG_WRITERS_NAMED)
      .map(({ inode: { id }, writingSinceMs }) => {
        const row = saved.get(id) as unknown as [number] | undefined;
        return { inode: id, sinceMs: writingSinceMs, savedMs: row?.[0] };
      });
  }

  /** Ends every wait: programs get EIO, commands their answer. */
  abandonAll(reason: string): void {
    this.#filesystem.bulk.failAll(reason);
    this.#filesystem.core.lot.failAll(Errno.EIO);
  }
}
