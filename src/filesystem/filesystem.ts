/**
 * The file system: what the kernel may ask (FilesystemOperations), put together from the namespace
 * half and the content half. Knows neither the kernel's protocol nor the engine.
 */
import { Errno } from "../domain/errno.ts";
import { FsError } from "../domain/errors.ts";
import type {
  CreateReply,
  CreateRequest,
  FilesystemOperations,
  FilesystemStatistics,
  RequestHeader,
  SetattrRequest,
  WriteRequest,
} from "../fuse/operations.ts";
import { PARKED } from "../fuse/operations.ts";
import type * as fuse from "../fuse/operations.ts";
import { OrphanTable } from "../metadata/orphan_table.ts";
import { O } from "../runtime/libc_constants.ts";
import { joinNames } from "../domain/name_text.ts";
import { BulkRecall } from "./bulk_recall.ts";
import { Collection } from "./collection.ts";
import type { ContentPort } from "./content_port.ts";
import { contentXattr } from "./content_xattrs.ts";
import { Copier } from "./copier.ts";
import type { Core } from "./core.ts";
import { Dropper } from "./dropper.ts";
import { FactDesk } from "./fact_desk.ts";
import { type Handle, HandleTable } from "./handle_table.ts";
import { FileType, type Inode, isRegular } from "./inode.ts";
import type { LookupCounts } from "./lookup_counts.ts";
import { Namespace } from "./namespace.ts";
import { Opener } from "./opener.ts";
import { fatalSignalPending } from "./parking_lot.ts";
import { Reader } from "./reader.ts";
import { Reaper } from "./reaper.ts";
import { Recalls } from "./recalls.ts";
import { Resizer } from "./resizer.ts";
import { Saver } from "./saver.ts";
import { Shipping } from "./shipping.ts";
import { Snapshots } from "./snapshots.ts";
import { SpaceQueue } from "./space_queue.ts";
import { Syncer } from "./syncer.ts";
import { Trash } from "./trash.ts";
import { volumeStatistics } from "./volume_statistics.ts";
import { Writer } from "./writer.ts";

export class Filesystem implements FilesystemOperations {
  readonly core: Core;
  readonly namespace: Namespace;
  readonly handles: HandleTable;
  readonly recalls: Recalls;
  readonly bulk: BulkRecall;
  readonly spaceQueue: SpaceQueue;
  readonly reaper: Reaper;
  readonly snapshots: Snapshots;
  readonly saver: Saver;
  readonly dropper: Dropper;
  readonly facts: FactDesk;
  readonly shipping: Shipping;
  readonly collection: Collection;
  readonly trash: Trash;
  readonly #syncer: Syncer;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #resizer: Resizer;
  readonly #copier: Copier;
  readonly #opener: Opener;
  /** The kernel has said goodbye. */
  destroyed = false;

  constructor(core: Core, parts: { lookups: LookupCounts; giveUpBallast: () => boolean }) {
    this.core = core;
    core.relieveDisk = parts.giveUpBallast;
    this.handles = new HandleTable(core.files);
    this.recalls = new Recalls(core);
    this.bulk = new BulkRecall(core, this.recalls);
    this.spaceQueue = new SpaceQueue(core);
    this.spaceQueue.attach(this.recalls);
    const orphans = new OrphanTable(core.database);
    this.reaper = new Reaper(core, { orphans, xattrs: core.xattrs });
    this.#writer = new Writer(core, this.recalls, this.spaceQueue);
    this.#reader = new Reader(core, this.recalls);
    this.#resizer = new Resizer(core, {
      recalls: this.recalls,
      writer: this.#writer,
      reaper: this.reaper,
    });
    this.#copier = new Copier(core, {
      reader: this.#reader,
      writer: this.#writer,
      recalls: this.recalls,
      reaper: this.reaper,
    });
    this.#syncer = new Syncer(core);
    this.#opener = new Opener(core, { handles: this.handles, resizer: this.#resizer });
    this.snapshots = new Snapshots(core, { reaper: this.reaper, orphans });
    this.saver = new Saver(core, { reaper: this.reaper, snapshots: this.snapshots });
    this.dropper = new Dropper(core, this.reaper);
    this.facts = new FactDesk(core, { reaper: this.reaper, namespace: () => this.namespace });
    this.shipping = new Shipping(core);
    this.collection = new Collection(core, this.reaper);
    this.trash = new Trash(core, { reaper: this.reaper, pathOf: (id) => this.#pathText(id) });
    this.namespace = new Namespace({
      database: core.database,
      inodes: core.inodes,
      lookups: parts.lookups,
      xattrs: core.xattrs,
      content: this.#contentPort(),
      clock: core.clock,
      readOnly: () => core.readOnlyReason !== undefined,
      following: core.following,
    });
    this.#opener.onClosed = (inode) => this.namespace.released(inode);
    this.recalls.onSettled = (file, index, failed) => this.bulk.settled(file, index, failed);
    this.reaper.unlinks.onFreed = this.dropper.onFreed = () => this.spaceQueue.relieve();
    this.reaper.onHeld = (file) => this.recalls.forgetAll(file);
    core.lot.onAbandoned = (parking) => this.recalls.abandoned(parking);
  }

  #contentPort(): ContentPort {
    const core = this.core;
    return {
      resize: (request, inode, size) => {
        const file = core.files.acquire(inode);
        try {
          return this.#resizer.resize(request, file, size);
        } finally {
          core.files.dropIfIdle(file);
        }
      },
      beforeReplace: (request, source) => this.#syncer.beforeReplace(request, source),
      replaced: (source, victim, name) => {
        if (victim.nlink > 0 || !isRegular(victim)) return;
        if (isRegular(source) && !core.versions.hasSaved(source.id)) {
          if (!core.versions.hasAny(victim.id)) return;
          const path = this.#pathText(source.id) ?? name;
          core.versions.inherit(victim.id, { heir: source.id, path });
        } else {
          this.#trash(victim, () => this.#pathText(source.id) ?? name);
        }
      },
      unlinked: (inode, name, parent) => {
        if (isRegular(inode)) this.#trash(inode, () => this.#pathText(parent, name) ?? name);
      },
      discard: (inode) => {
        core.uses.removed(inode);
        this.reaper.discard(inode.id);
      },
      refresh: (id) => core.refreshTimes(id),
      blocks: (inode) => Math.max(Math.ceil(inode.allocated / 512), core.unseen.blocks(inode)),
      isOpen: (inode) => this.#opener.isOpen(inode),
      isBeingWritten: (inode) => this.#opener.isBeingWritten(inode),
      changed: (inode) => this.facts.changed(inode),
      moved: (directory) => this.facts.directoryChanged(directory),
      virtualXattr: (inode, name) => this.#virtualXattr(inode, name),
      setPin: (inode, text) => this.facts.setPin(inode, text),
    };
  }

  #trash(inode: Inode, path: () => Uint8Array): void {
    const nowMs = Math.floor(this.core.clock.wallMs());
    this.core.versions.trash(inode.id, { path, nowMs });
  }

  /** Names from the root with slashes between; undefined for what has no path any more. */
  #pathText(inode: number, name?: Uint8Array): Uint8Array | undefined {
    const names = this.namespace.pathOf(inode);
    if (names === undefined) return undefined;
    return joinNames(name === undefined ? names : [...names, name]);
  }

  #virtualXattr(inode: Inode, name: string): string | undefined {
    if (name === "user.zero.pin") return this.facts.pinText(inode);
    if (!isRegular(inode)) return undefined;
    return contentXattr(inode, name);
  }

  /** A full disk must not keep rows from being written: the ballast is given up, and the operation tried again. */
  #withBallast<T>(operation: () => T): T {
    try {
      return operation();
    } catch (error) {
      if (!(error instanceof FsError) || error.errno !== Errno.ENOSPC) throw error;
      this.core.space.forgetReading();
      if (!this.core.relieveDisk()) throw error;
      return operation();
    }
  }

  lookup(request: fuse.LookupRequest) {
    return this.namespace.lookup(request);
  }
  forget(inode: number, count: number): void {
    this.namespace.forget(inode, count);
  }
  getattr(request: fuse.GetattrRequest) {
    return this.namespace.getattr(request);
  }
  setattr(request: SetattrRequest) {
    return this.#withBallast(() => this.namespace.setattr(request));
  }
  readlink(request: RequestHeader) {
    return this.namespace.readlink(request);
  }
  symlink(request: fuse.SymlinkRequest) {
    return this.#withBallast(() => this.namespace.symlink(request));
  }
  mkdir(request: fuse.MkdirRequest) {
    return this.#withBallast(() => this.namespace.mkdir(request));
  }
  unlink(request: fuse.UnlinkRequest) {
    return this.#withBallast(() => this.namespace.unlink(request));
  }
  rmdir(request: fuse.UnlinkRequest) {
    return this.#withBallast(() => this.namespace.rmdir(request));
  }
  rename(request: fuse.RenameRequest) {
    return this.#withBallast(() => this.namespace.rename(request));
  }
  link(request: fuse.LinkRequest) {
    return this.#withBallast(() => this.namespace.link(request));
  }
  readdir(request: fuse.ReaddirRequest, filler: fuse.DirectoryFiller) {
    return this.namespace.readdir(request, filler);
  }
  getxattr(request: fuse.GetxattrRequest) {
    return this.namespace.getxattr(request);
  }
  setxattr(request: fuse.SetxattrRequest) {
    const file = this.core.files.peek(request.inode);
    if (file !== undefined) file.incapable = false;
    return this.#withBallast(() => this.namespace.setxattr(request));
  }
  listxattr(request: RequestHeader) {
    return this.namespace.listxattr(request);
  }
  removexattr(request: fuse.GetxattrRequest) {
    return this.#withBallast(() => this.namespace.removexattr(request));
  }

  mknod(request: fuse.MknodRequest): fuse.Entry {
    return this.#withBallast(() => {
      const type = request.mode & FileType.MASK;
      return this.core.database.transaction(() => {
        const entry = this.namespace.mknod(request);
        if (type === FileType.REGULAR || type === 0) this.#born(entry.attributes.inode);
        return entry;
      });
    });
  }

  /** In transaction. A new regular file has no saved version yet. */
  #born(id: number): void {
    const core = this.core;
    const inode = core.inodes.require(id);
    inode.generation = core.database.nextGeneration();
    inode.changedMs = Math.floor(core.clock.wallMs());
    inode.dirty = true;
    core.inodes.writeContent(inode);
    core.dirtyNews.tell();
  }

  create(request: CreateRequest): CreateReply {
    return this.#create(request);
  }
  tmpfile(request: CreateRequest): CreateReply {
    return this.#create(request);
  }

  #create(request: CreateRequest): CreateReply {
    this.core.requireWritable();
    return this.#withBallast(() => {
      const inode = this.core.database.transaction(() => {
        const changedMs = Math.floor(this.core.clock.wallMs());
        const generation = this.core.database.nextGeneration();
        return this.namespace.createFile(request, { generation, changedMs });
      });
      const treatment = this.core.readers.treat(request.pid);
      const open = this.#opener.created(inode, request.flags, treatment);
      return { entry: this.namespace.entry(inode), open };
    });
  }

  open(request: fuse.OpenRequest) {
    const inode = this.core.inodes.require(request.inode);
    return this.#withBallast(() => {
      const reply = this.#opener.open(request, inode);
      if (reply === PARKED || !request.killPrivileges) return reply;
      try {
        this.#killPrivileges(inode, request);
      } catch (error) {
        // The kernel never learns of this handle, so it would never be released.
        this.#opener.forget(reply.handle);
        throw error;
      }
      return reply;
    });
  }

  read(request: fuse.ReadRequest, into: Uint8Array) {
    return this.#reader.read(this.handles.get(request.handle), request, into);
  }

  write(request: WriteRequest): number | fuse.Parked {
    const done = this.#syncer.finished(request);
    if (done !== undefined) return done;
    const handle = this.handles.get(request.handle);
    const written = this.#withBallast(() => this.#writer.write(handle.file, request));
    if (written === PARKED) return PARKED;
    this.#losePrivileges(handle, request);
    this.spaceQueue.observe();
    if (request.fromCache) return written;
    return this.#durableIfAsked(handle, request, { operation: "write", answer: written });
  }

  /** Content has changed. Of what is written beside its cache the kernel leaves the capabilities to us. */
  #losePrivileges({ file }: Handle, request: WriteRequest): void {
    if (request.killPrivileges) this.#killPrivileges(file.inode, request);
    else if (file.serving !== "cached") this.namespace.loseCapabilities(file);
  }

  /**
   * The kernel takes the mode that it remembers for good after a write, and asks for times and size
   * only: whoever wants nothing but the mode (statx) would be shown setuid still.
   */
  #killPrivileges(inode: Inode, request: RequestHeader): void {
    const { mode } = inode;
    this.namespace.killPrivileges(inode, request);
    if (inode.mode !== mode) this.core.session().invalidateAttributes(inode.id);
  }

  /** With O_SYNC and O_DSYNC a change is answered once it is durable. */
  #durableIfAsked(
    handle: Handle,
    request: RequestHeader,
    options: { operation: string; answer: number },
  ): number | fuse.Parked {
    if ((handle.flags & (O.DSYNC | O.SYNC)) === 0) return options.answer;
    this.core.flush(handle.file);
    const dataOnly = (handle.flags & O.SYNC) !== O.SYNC;
    return this.#syncer.parkUntilDurable(handle.file, request, { ...options, dataOnly });
  }

  flush(request: fuse.FlushRequest) {
    const handle = this.handles.get(request.handle);
    return this.#withBallast(() => this.#syncer.flush(handle, request));
  }

  release(request: fuse.ReleaseRequest): void {
    this.#withBallast(() => this.#opener.release(request));
  }

  fsync(request: fuse.FsyncRequest) {
    const handle = this.handles.get(request.handle);
    return this.#withBallast(() => this.#syncer.fsync(handle, request));
  }

  fsyncdir(request: fuse.FsyncRequest) {
    return this.#withBallast(() => this.#syncer.fsyncdir(request));
  }

  fallocate(request: fuse.FallocateRequest) {
    const handle = this.handles.get(request.handle);
    return this.#withBallast(() => this.#resizer.fallocate(handle, request));
  }

  lseek(request: fuse.LseekRequest): number {
    return this.#resizer.seek(this.handles.get(request.handle).file, request);
  }

  copyFileRange(request: fuse.CopyFileRangeRequest): number | fuse.Parked {
    const done = this.#syncer.finished(request);
    if (done !== undefined) return done;
    const source = this.handles.get(request.handle);
    const target = this.handles.get(request.targetHandle);
    const copied = this.#withBallast(() => this.#copier.copy(request, { source, target }));
    if (copied === PARKED || copied === 0) return copied;
    this.spaceQueue.observe();
    return this.#durableIfAsked(target, request, { operation: "copy", answer: copied });
  }

  statfs(): FilesystemStatistics {
    return volumeStatistics(this.core);
  }

  /** A signal for a parked reader or writer: it ends only for signals that would end the program. */
  interrupt(unique: number): void {
    const parking = this.core.lot.find(unique);
    if (parking === undefined) return;
    if (parking.reason === "sync") this.core.lot.noteInterrupt(parking);
    else if (fatalSignalPending(parking.request.pid)) this.core.lot.fail(parking, Errno.EINTR);
  }

  destroy(): void {
    this.destroyed = true;
  }
}
