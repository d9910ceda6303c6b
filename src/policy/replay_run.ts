/**
 * One replay: the cache as it would have been, event by event. Holds what is here in bytes, and asks an
 * order of eviction what leaves. See replay.ts for what it simplifies.
 */
import { heatAfterUse } from "../domain/heat.ts";
import { invariant, unreachable } from "../domain/errors.ts";
import { Belady, type EvictionOrder, LeastRecentlyUsed, Sieve } from "./eviction_orders.ts";
import { bytesToFree } from "./marks.ts";
import { recallMoney } from "./money.ts";
import { Rules } from "./outcome.ts";
import { PolicyOrder, type ReplayedFile } from "./policy_order.ts";
import { countsAsUse, ReaderClass } from "./readers.ts";
import type { Contender, ReplayOptions, ReplayResult } from "./replay.ts";
import { type TraceEvent, type TraceEvents, TraceKind } from "./trace.ts";

const LINK = { firstByteMs: 250, bytesPerSecond: 10 * 1024 * 1024 };
const REGRET_MS = 7 * 86_400_000;

interface SimulatedFile extends ReplayedFile {
  here: boolean;
  evictedMs: number;
}

export class ReplayRun {
  readonly #options: ReplayOptions;
  readonly #halfLifeMs: number;
  readonly #order: EvictionOrder<SimulatedFile>;
  readonly #files = new Map<number, SimulatedFile>();
  readonly #nextUses: Float64Array;
  readonly #stalls: number[] = [];
  #index = 0;
  #used = 0;
  readonly #result = {
    reads: 0,
    hits: 0,
    recalls: 0,
    recalledBytes: 0,
    streamedBytes: 0,
    denied: 0,
    evictions: 0,
    evictedBytes: 0,
    regret: { files: 0, bytes: 0 },
    peakBytes: 0,
    unmet: 0,
  };

  constructor(contender: Contender, options: ReplayOptions) {
    this.#options = options;
    this.#halfLifeMs = typeof contender === "string" ? Infinity : contender.evict.order.halfLifeMs;
    this.#nextUses = contender === "Belady" ? nextUses(options.events) : new Float64Array();
    this.#order = this.#orderOf(contender);
  }

  #orderOf(contender: Contender): EvictionOrder<SimulatedFile> {
    switch (contender) {
      case "LRU":
        return new LeastRecentlyUsed();
      case "SIEVE":
        return new Sieve();
      case "Belady":
        return new Belady(() => this.#nextUses[this.#index]);
      default: {
        const { chunkSize, marks } = this.#options;
        const policy = { ...contender, evict: { ...contender.evict, maxPerRun: Infinity } };
        policy.evict.breaker = { files: 1, errors: 1 };
        return new PolicyOrder(new Rules(policy), {
          chunkSize,
          isUrgent: () => this.#used >= marks.hard,
        });
      }
    }
  }

  run(): ReplayResult {
    const { events, prices } = this.#options;
    for (; this.#index < events.length; this.#index++) this.#step(events.at(this.#index)!);
    const result = this.#result;
    this.#stalls.sort((a, b) => a - b);
    return {
      ...result,
      hitRatio: result.reads === 0 ? 1 : result.hits / result.reads,
      stallP95Ms: this.#stalls[Math.ceil(this.#stalls.length * 0.95) - 1] ?? 0,
      stallTotalMs: this.#stalls.reduce((sum, each) => sum + each, 0),
      money: prices &&
        recallMoney(
          { bytes: result.recalledBytes + result.streamedBytes, files: result.recalls },
          prices,
        ),
    };
  }

  #step(event: TraceEvent): void {
    switch (event.kind) {
      case TraceKind.READ:
        return this.#read(event);
      case TraceKind.WRITE:
        return this.#write(event);
      case TraceKind.REMOVE:
        return this.#remove(event);
      default:
        unreachable(event.kind);
    }
  }

  #read(event: TraceEvent): void {
    const file = this.#files.get(event.inode) ?? this.#discover(event);
    this.#result.reads++;
    const arrives = !file.here;
    if (!arrives) this.#result.hits++;
    else if (!this.#fetch(file, event)) return;
    if (countsAsUse(event.reader)) this.#warm(file, event.timeMs);
    if (arrives) this.#order.admit(file, event.timeMs);
    else if (countsAsUse(event.reader)) this.#order.use(file, event.timeMs);
    if (arrives) this.#relieve(file, event.timeMs);
  }

  /** Brings a file back, or serves it without; true where it is here afterwards. */
  #fetch(file: SimulatedFile, { reader, timeMs }: TraceEvent): boolean {
    const result = this.#result;
    if (reader === ReaderClass.DENY) {
      result.denied++;
      return false;
    }
    const { firstByteMs, bytesPerSecond } = this.#options.link ?? LINK;
    this.#stalls.push(firstByteMs + file.size / bytesPerSecond * 1000);
    if (reader === ReaderClass.STREAM) {
      result.streamedBytes += file.size;
      return false;
    }
    result.recalls++;
    result.recalledBytes += file.size;
    if (timeMs - file.evictedMs <= (this.#options.regretMs ?? REGRET_MS)) {
      result.regret.files++;
      result.regret.bytes += file.size;
    }
    this.#arrive(file, timeMs);
    return true;
  }

  #write(event: TraceEvent): void {
    const file = this.#files.get(event.inode) ?? this.#discover(event);
    const arrives = !file.here;
    if (file.here) this.#used += event.size - file.size;
    file.size = event.size;
    const { facts } = file;
    facts.size = event.size;
    facts.allocated = event.size;
    facts.changedMs = event.timeMs;
    if (file.here) facts.resident = event.size;
    else this.#arrive(file, event.timeMs);
    this.#warm(file, event.timeMs);
    if (arrives) this.#order.admit(file, event.timeMs);
    else this.#order.use(file, event.timeMs);
    this.#relieve(file, event.timeMs);
  }

  #remove({ inode }: TraceEvent): void {
    const file = this.#files.get(inode);
    if (file === undefined) return;
    this.#files.delete(inode);
    if (!file.here) return;
    this.#order.remove(file);
    this.#used -= file.size;
  }

  #discover({ inode, size, timeMs }: TraceEvent): SimulatedFile {
    const file: SimulatedFile = {
      inode,
      size,
      here: false,
      evictedMs: -Infinity,
      facts: {
        inode,
        paths: [`/${inode}`],
        size,
        allocated: size,
        resident: 0,
        dirty: false,
        open: false,
        confirmed: true,
        createdMs: timeMs,
        residentSinceMs: timeMs,
        lastUsedMs: timeMs,
        changedMs: timeMs,
        heat: 0,
        heatAtMs: timeMs,
        uid: 0,
        gid: 0,
        links: 1,
        ...this.#options.describe?.(inode),
      },
    };
    this.#files.set(inode, file);
    return file;
  }

  #arrive(file: SimulatedFile, now: number): void {
    file.here = true;
    file.facts.resident = file.size;
    file.facts.residentSinceMs = now;
    this.#used += file.size;
    this.#result.peakBytes = Math.max(this.#result.peakBytes, this.#used);
  }

  #warm({ facts }: SimulatedFile, now: number): void {
    facts.heat = Number.isFinite(this.#halfLifeMs)
      ? heatAfterUse(facts, { now, halfLifeMs: this.#halfLifeMs })
      : 1;
    facts.heatAtMs = now;
    facts.lastUsedMs = now;
  }

  #relieve(busy: SimulatedFile, now: number): void {
    const { marks } = this.#options;
    const pressure = { marks, used: this.#used, running: false, needed: 0 };
    const toFree = bytesToFree({ ...pressure, diskFree: Infinity });
    if (toFree === 0) return;
    let freed = 0;
    for (const file of this.#order.choose({ toFree, now, busy })) {
      invariant(file.here && file !== busy, () => `inode ${file.inode} cannot be evicted`);
      file.here = false;
      file.evictedMs = now;
      file.facts.resident = 0;
      freed += file.size;
      this.#result.evictions++;
    }
    this.#used -= freed;
    this.#result.evictedBytes += freed;
    if (freed < toFree) this.#result.unmet++;
  }
}

/** For each event, the time at which its file is next used by a read; Infinity: never. */
function nextUses(events: TraceEvents): Float64Array {
  const next = new Float64Array(events.length);
  const later = new Map<number, number>();
  for (let index = events.length - 1; index >= 0; index--) {
    const { inode, kind, reader, timeMs } = events.at(index)!;
    next[index] = later.get(inode) ?? Infinity;
    if (kind !== TraceKind.READ) later.delete(inode);
    else if (countsAsUse(reader)) later.set(inode, timeMs);
  }
  return next;
}
