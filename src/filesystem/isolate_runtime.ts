/**
 * Puts the filesystem isolate together and runs its loop. Owns the order of work: requests of the
 * kernel first, then messages, then due timers, then one slice of background work; it sleeps only
 * when nothing of these is left.
 */
import { FsError, InvariantError, UserError } from "../domain/errors.ts";
import { ContentStore } from "../content/content_store.ts";
import { SpaceAccountant } from "../content/space_accountant.ts";
import { KernelDevice } from "../fuse/device.ts";
import { Session } from "../fuse/session.ts";
import { ChunkTable } from "../metadata/chunk_table.ts";
import { MetadataDatabase } from "../metadata/database.ts";
import { boundLogs } from "../metadata/log_bound.ts";
import { makeLogRoom } from "../metadata/log_room.ts";
import { MapTable } from "../metadata/map_table.ts";
import { UsageTable } from "../metadata/usage_table.ts";
import { VersionTable } from "../metadata/version_table.ts";
import { bootId } from "../runtime/boot_id.ts";
import { systemClock } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import { TimerQueue } from "../runtime/timer_queue.ts";
import { Anticipation } from "./anticipation.ts";
import { BacklogWriter } from "./backlog.ts";
import { CommandRunner } from "./commands.ts";
import { ContentSweep } from "./content_sweep.ts";
import { Core } from "./core.ts";
import { CrashRepair } from "./crash_repair.ts";
import { DiskClient } from "./disk_client.ts";
import { EngineChannel, type ReceivedCommand } from "./engine_channel.ts";
import { FileTable } from "./file_state.ts";
import { Filesystem } from "./filesystem.ts";
import { InodeCache } from "./inode_cache.ts";
import type { IsolateStart, PlainError } from "./isolate_messages.ts";
import { LookupCounts } from "./lookup_counts.ts";
import { ParkingLot } from "./parking_lot.ts";
import { TraceFile } from "./trace_file.ts";
import type { FilesystemEvent } from "./protocol.ts";

const REQUESTS_PER_TURN = 128;
const INODES_CACHED = 50_000;
const CONTENT_FILES_OPEN = 2048;
const FLUSH_MS = 1000;
const USAGE_FLUSH_MS = 1000;
/** For how long messages are taken before requests are looked at again. */
const MESSAGES_MS = 1;
const EXPIRE_MS = 100;
const HOUSEKEEPING_MS = 1000;
/** Commits after which the WAL is moved into the database; each is some 10 to 40 KiB of it. */
const COMMITS_PER_CHECKPOINT = 1000;
/** Transactions that share a commit and together write about as much as one alone. */
const SHARING = 16;
const CHECKPOINT_MS = 30_000;
const SWEEP_VERSIONS_MS = 3_600_000;

/** What the disk helpers may still take at the end; after that the end is not clean. */
const END_MS = 5000;

type End = { how: "unmounted" | "aborted" | "stopped"; error?: string };

export class FilesystemRuntime {
  readonly #start: IsolateStart;
  readonly #channel: EngineChannel;
  readonly #database: MetadataDatabase;
  readonly #store: ContentStore;
  readonly #core: Core;
  readonly #filesystem: Filesystem;
  readonly #session: Session;
  readonly #disks: DiskClient;
  readonly #timers = new TimerQueue(() => systemClock.monotonicMs(), {
    guard: (action) => this.#core.guard(action),
  });
  readonly #commands: CommandRunner;
  readonly #poll: libc.PollSet;
  readonly #anticipation = new Anticipation({
    processors: navigator.hardwareConcurrency,
    // What is asked for in a row reads rows in one transaction, without locks for each.
    onBusy: () => this.#guard(() => this.#database.keepReading()),
  });
  #ready = false;
  #commits = 0;
  #checkpointing = false;
  /** More messages have come than were taken in this turn. */
  #messagesWait = false;
  #expireAtMs = 0;
  #stopping: { reason: string; done: () => void } | undefined;

  constructor(start: IsolateStart) {
    this.#start = start;
    this.#channel = new EngineChannel(start.port);
    const { cacheDirectory, settings, device, readOnly, following } = start.options;
    // Where no program may write, none waits for a sync.
    if (readOnly === undefined && following !== true) makeLogRoom(cacheDirectory);
    this.#database = MetadataDatabase.open({ directory: cacheDirectory, grouped: true });
    this.#store = new ContentStore(`${cacheDirectory}/content`, {
      openFiles: CONTENT_FILES_OPEN,
      // A mount that follows names its files in rows that come with what it follows.
      afterCrash: !this.#database.wasClean && following !== true,
    });
    this.#disks = new DiskClient({
      store: this.#store,
      walPath: this.#database.walPath!,
      ports: start.disks,
      onDefect: (message) => this.#defect(message),
    });
    this.#core = this.#makeCore(settings);
    this.#filesystem = new Filesystem(this.#core, {
      lookups: new LookupCounts(),
      giveUpBallast: () => libc.unlink(`${cacheDirectory}/ballast`) === 0,
    });
    this.#session = new Session(new KernelDevice(device), this.#filesystem, {
      passthrough: start.options.passthrough,
      acl: true,
      following: this.#core.following,
      onDefect: (error, opcode) => this.#unexpected(error, opcode),
    });
    this.#commands = new CommandRunner(this.#filesystem, {
      stop: (reason, done) => this.#stopping = { reason, done },
    });
    this.#poll = new libc.PollSet([
      { fd: device, events: libc.POLL.IN },
      { fd: start.wake, events: libc.POLL.IN },
    ]);
    this.#database.onWritten((transactions) => {
      this.#commits += 1 + transactions / SHARING;
    });
  }

  #makeCore(settings: IsolateStart["options"]["settings"]): Core {
    const database = this.#database;
    const { tracePath } = this.#start.options;
    const maps = new MapTable(database);
    const total = database.statement("SELECT resident FROM total").get() as { resident: number };
    const core = new Core({
      database,
      maps,
      settings,
      inodes: new InodeCache(database, { limit: INODES_CACHED }),
      chunks: new ChunkTable(database),
      versions: new VersionTable(database),
      usage: new UsageTable(database),
      files: new FileTable(maps),
      store: this.#store,
      space: new SpaceAccountant({
        resident: total.resident,
        limits: settings,
        disk: () => this.#store.disk(),
        nowMs: () => systemClock.monotonicMs(),
      }),
      helper: this.#disks,
      lot: new ParkingLot(() => this.#session, () => systemClock.monotonicMs()),
      timers: this.#timers,
      clock: systemClock,
      chunkSize: database.setting("chunk_size") as number,
      session: () => this.#session,
      bootId: bootId(),
      emit: (event) => this.#emit(event),
      trace: tracePath === undefined ? undefined : TraceFile.open(tracePath),
    });
    core.following = this.#start.options.following === true;
    const suspect = database.setting("suspect");
    core.readOnlyReason = this.#start.options.readOnly ??
      (suspect === undefined ? undefined : String(suspect));
    return core;
  }

  #emit(event: FilesystemEvent): void {
    if (event.event === "defect") this.#commands.defects++;
    this.#channel.post({ kind: "event", event });
  }

  #defect(message: string): void {
    this.#emit({ event: "defect", message });
  }

  /** A broken invariant, or an error that nobody expects: nothing is changed on such ground any more. */
  #unexpected(error: unknown, where: string): void {
    const what = `${where}: ${describe(error)}`;
    if (error instanceof InvariantError) this.#core.goReadOnly(`a defect: ${what}`);
    this.#defect(what);
  }

  /** Runs until the mount is gone or the engine says stop; then everything is written and closed. */
  run(): void {
    let end: End;
    try {
      this.#begin();
      end = this.#loop();
    } catch (error) {
      end = { how: "aborted", error: describe(error) };
    }
    try {
      this.#finish(end);
    } catch (error) {
      end = { ...end, error: `${end.error ?? ""} ${describe(error)}`.trim() };
    }
    this.#stopping?.done();
    this.#emit({ event: "ended", ...end });
    this.#channel.flush();
  }

  #begin(): void {
    const { reaper } = this.#filesystem;
    this.#core.unseen.resume();
    if (this.#core.readOnlyReason === undefined) {
      reaper.resumeLeftovers();
      if (!this.#database.wasClean) {
        reaper.add(new ContentSweep(this.#core).job());
        new CrashRepair(this.#core, reaper).run();
        // What a killed daemon wrote may still be in the page cache only.
        this.#core.unsynced.doubtAll();
        this.#core.syncAll();
      }
    } else if (this.#core.following && !this.#database.wasClean) {
      reaper.add(new ContentSweep(this.#core).job());
    }
    if (this.#core.readOnlyReason === undefined || this.#core.following) {
      const usage = this.#core.usage;
      if (usage.needsRefill) reaper.add(() => !usage.refill({ limit: 1000 }));
    }
    const { inodes, usage, journal } = this.#core;
    const backlogs = new BacklogWriter((job) => reaper.add(job));
    this.#every(FLUSH_MS, () => {
      this.#core.flushAll();
      backlogs.write(inodes);
    });
    this.#every(USAGE_FLUSH_MS, () => {
      backlogs.write(usage);
      backlogs.write(journal);
      this.#core.uses.flush();
    });
    this.#every(HOUSEKEEPING_MS, () => this.#filesystem.spaceQueue.observe());
    // The mount that is followed decides what becomes of versions.
    if (!this.#core.following) this.#every(SWEEP_VERSIONS_MS, () => reaper.sweepVersions());
    this.#every(CHECKPOINT_MS, () => this.#checkpoint());
  }

  /** A timer that comes again; a failing disk must not end the loop. */
  #every(milliseconds: number, action: () => void): void {
    this.#timers.after(milliseconds, () => {
      this.#guard(action);
      this.#every(milliseconds, action);
    });
  }

  #guard(action: () => void): void {
    this.#core.guard(action);
  }

  #checkpoint(): void {
    if (this.#checkpointing || this.#commits === 0) return;
    const busy = this.#commits >= COMMITS_PER_CHECKPOINT;
    this.#commits = 0;
    this.#checkpointing = true;
    const { cacheDirectory } = this.#start.options;
    this.#core.helper.checkpoint((errno) => {
      this.#checkpointing = false;
      if (errno !== 0) this.#defect(`moving the WAL into the database failed with errno ${errno}`);
      else this.#guard(() => boundLogs(this.#database, cacheDirectory, { busy }));
    });
  }

  #loop(): End {
    const { reaper } = this.#filesystem;
    for (;;) {
      const served = this.#session.serve(REQUESTS_PER_TURN);
      if (served === "unmounted" || served === "aborted") return { how: served };
      if (!this.#ready && this.#session.negotiated !== undefined) this.#announce();
      if (this.#commits >= COMMITS_PER_CHECKPOINT) this.#checkpoint();
      this.#timers.run();
      if (reaper.busy) this.#guard(() => reaper.step());
      const more = served === "more" || reaper.busy || this.#messagesWait ||
        this.#anticipation.serve(this.#session);
      this.#channel.flush();
      this.#poll.wait(more ? 0 : this.#idleMs());
      const woken = (this.#poll.ready(1) & libc.POLL.IN) !== 0;
      if (woken) libc.drainEventfd(this.#start.wake);
      if (woken || this.#messagesWait) {
        this.#messages();
        if (this.#stopping !== undefined) return { how: "stopped" };
      }
      this.#expire();
    }
  }

  #announce(): void {
    this.#ready = true;
    const { minor } = this.#session.negotiated!;
    const { lending } = this.#core;
    if (this.#start.options.passthrough) lending.offer();
    const passthroughObstacle = lending.obstacle;
    this.#emit({ event: "ready", protocol: `7.${minor}`, passthroughObstacle });
  }

  #idleMs(): number {
    const timer = this.#timers.nextDelay() ?? 10_000;
    const parked = this.#core.lot.size > 0 ? EXPIRE_MS : 10_000;
    return Math.ceil(Math.min(timer, parked));
  }

  #expire(): void {
    if (this.#core.lot.size === 0) return;
    const now = systemClock.monotonicMs();
    if (now < this.#expireAtMs) return;
    this.#expireAtMs = now + EXPIRE_MS;
    this.#core.lot.expire();
  }

  /** Not all of them at a time: the engine sends hundreds together, and requests wait meanwhile. */
  #messages(): void {
    this.#disks.drain();
    const until = systemClock.monotonicMs() + MESSAGES_MS;
    this.#messagesWait = true;
    while (systemClock.monotonicMs() < until) {
      const received = this.#channel.take();
      if (received === undefined) {
        this.#messagesWait = false;
        break;
      }
      // Many questions share one look at the rows, which the commit below ends.
      if (this.#channel.more) this.#guard(() => this.#database.keepReading());
      this.#command(received);
      if (this.#stopping !== undefined) return;
    }
    // The engine may look at the database itself.
    this.#guard(() => this.#core.commitIfPossible());
    this.#channel.flush();
  }

  #command({ id, command, argument }: ReceivedCommand): void {
    try {
      this.#commands.run(command, argument, {
        answer: (result) => this.#channel.post({ kind: "answer", id, result }),
        fail: (error) => this.#channel.post({ kind: "error", id, error: plain(error) }),
      });
    } catch (error) {
      if (!(error instanceof FsError) && !(error instanceof UserError)) {
        this.#unexpected(error, command);
      }
      this.#channel.post({ kind: "error", id, error: plain(error) });
    }
  }

  /** Nothing of what was acknowledged may stay in memory; then the databases close as clean. */
  #finish(end: End): void {
    this.#commands.abandonAll(this.#stopping?.reason ?? end.how);
    const core = this.#core;
    const { reaper } = this.#filesystem;
    core.flushAll();
    core.inodes.flush(Infinity);
    if (core.readOnlyReason === undefined) reaper.discardNow();
    this.#filesystem.facts.end();
    core.usage.flush();
    core.journal.flush();
    core.uses.flush();
    core.trace?.close();
    // Nothing of a clean end is in doubt at the next mount: so its content must be on the disk.
    const { unlinks } = reaper;
    const deadline = systemClock.monotonicMs() + END_MS;
    for (;;) {
      unlinks.hurry();
      // One that was under way covers only what was written before it began.
      if (!this.#disks.busy && !core.suspect && !core.unsynced.allDurable) core.syncAll();
      if (!this.#disks.busy || systemClock.monotonicMs() >= deadline) break;
      this.#channel.flush();
      this.#poll.wait(100);
      libc.drainEventfd(this.#start.wake);
      this.#disks.drain();
    }
    core.flushAll();
    core.lending.end({ released: end.how === "unmounted" && core.unseen.size === 0 });
    const settled = !this.#disks.busy && core.unsynced.allDurable && !unlinks.busy;
    this.#store.closeAll();
    const writable = core.readOnlyReason === undefined || (core.following && !core.suspect);
    const clean = end.error === undefined && writable && settled;
    this.#database.close({ clean });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}

function plain(error: unknown): PlainError {
  if (error instanceof FsError) {
    return { name: error.name, message: error.message, errno: error.errno };
  }
  if (error instanceof UserError) {
    return {
      name: error.name,
      message: error.message,
      exitCode: error.exitCode,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    };
  }
  return { name: "InvariantError", message: describe(error) };
}
