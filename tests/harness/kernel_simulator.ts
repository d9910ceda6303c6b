/**
 * The kernel's side of FUSE in memory: it writes raw requests, byte for byte as Linux lays them out,
 * feeds them to a session and decodes what comes back, so that a file system can be tested without a
 * kernel. It is strict where Linux is: an answer to nobody, a second answer or a reply of the wrong
 * size throws. It does not simulate the page cache, the dentry cache or permissions: every call here
 * is one request, but reads of passthrough handles, which the kernel serves. It counts lookups as Linux
 * does (`lookups`), and fails opens that do not go together (`io_modes.ts`).
 *
 *     const kernel = new KernelSimulator();
 *     const session = new Session(kernel.device, filesystem);
 *     kernel.attach(session);
 *     kernel.init();
 *     kernel.lookup(1, "name").value.inode
 */
import type { Timestamp } from "../../src/runtime/clock.ts";
import { type Mapping } from "./io_modes.ts";
import { replies, type SeenEntry, type SeenOpen } from "./kernel_replies.ts";
import { type Answer, SimulatedConnection, type Wide } from "./simulated_connection.ts";
import { WireWriter } from "./wire.ts";

export { Answer } from "./simulated_connection.ts";

type Name = string | Uint8Array;
export interface SetattrFields {
  mode?: number;
  uid?: number;
  gid?: number;
  size?: Wide;
  atime?: Timestamp | "now";
  mtime?: Timestamp | "now";
  ctime?: Timestamp;
  handle?: Wide;
  killPrivileges?: boolean;
}

export class KernelSimulator extends SimulatedConnection {
  #setxattrExtended = false;

  init() {
    const { major = 7, flags = 0x73fffffb, flags2 = 0x5fd } = this.options;
    const body = new WireWriter().u32(major).u32(this.minor).u32(131072).u32(flags);
    if (this.minor >= 36) body.u32(flags2).zeros(44);
    const answer = this.ask(26, { body, inode: 0 }, replies.init);
    this.io.passthrough = !answer.pending && answer.errno === 0 && (answer.value.flags2 & 32) !== 0;
    this.#setxattrExtended = !answer.pending && answer.errno === 0 &&
      (answer.value.flags & (1 << 29)) !== 0;
    return answer;
  }

  lookup(parent: number, name: Name) {
    return this.#entry(1, parent, new WireWriter().text(name));
  }

  forget(inode: number, count: Wide): void {
    this.unlook(inode, Number(count));
    this.tell(2, { inode, body: new WireWriter().u64(count) });
  }

  batchForget(pairs: [inode: number, count: number][]): void {
    const body = new WireWriter().u32(pairs.length).u32(0);
    for (const [inode, count] of pairs) {
      this.unlook(inode, count);
      body.u64(inode).u64(count);
    }
    this.tell(42, { inode: 0, body });
  }

  getattr(inode: number, handle?: Wide) {
    const body = new WireWriter().u32(handle === undefined ? 0 : 1).u32(0).u64(handle ?? 0);
    return this.ask(3, { inode, body }, replies.attributes);
  }

  setattr(inode: number, fields: SetattrFields = {}) {
    const bits: [unknown, number][] = [
      [fields.mode, 1],
      [fields.uid, 2],
      [fields.gid, 4],
      [fields.size, 8],
      [fields.atime, fields.atime === "now" ? 0x90 : 0x10],
      [fields.mtime, fields.mtime === "now" ? 0x120 : 0x20],
      [fields.handle, 0x40],
      [fields.ctime, 0x400],
      [fields.killPrivileges || undefined, 0x800],
    ];
    const valid = bits.reduce((sum, [field, bit]) => field === undefined ? sum : sum | bit, 0);
    const zero = { seconds: 0, nanoseconds: 0 };
    const time = (value?: Timestamp | "now") => typeof value === "object" ? value : zero;
    const times = [time(fields.atime), time(fields.mtime), time(fields.ctime)];
    const body = new WireWriter().u32(valid).u32(0).u64(fields.handle ?? 0);
    body.u64(fields.size ?? 0).u64(0);
    for (const { seconds } of times) body.u64(seconds);
    for (const { nanoseconds } of times) body.u32(nanoseconds);
    body.u32(fields.mode ?? 0).u32(0).u32(fields.uid ?? 0).u32(fields.gid ?? 0).u32(0);
    return this.ask(4, { inode, body }, replies.attributes);
  }

  readlink(inode: number) {
    return this.ask(5, { inode }, replies.bytes);
  }

  symlink(parent: number, how: { name: Name; target: Name }) {
    return this.#entry(6, parent, new WireWriter().text(how.name).text(how.target));
  }

  mknod(parent: number, how: { name: Name; mode: number; rdev?: number; umask?: number }) {
    const body = new WireWriter().u32(how.mode).u32(how.rdev ?? 0).u32(how.umask ?? 0).u32(0);
    return this.#entry(8, parent, body.text(how.name));
  }

  mkdir(parent: number, how: { name: Name; mode?: number; umask?: number }) {
    const body = new WireWriter().u32(how.mode ?? 0o755).u32(how.umask ?? 0).text(how.name);
    return this.#entry(9, parent, body);
  }

  unlink(parent: number, name: Name) {
    return this.ask(10, { inode: parent, body: new WireWriter().text(name) }, replies.nothing);
  }

  rmdir(parent: number, name: Name) {
    return this.ask(11, { inode: parent, body: new WireWriter().text(name) }, replies.nothing);
  }

  /** RENAME without `flags`, RENAME2 with them. */
  rename(
    parent: number,
    how: { name: Name; newParent: number; newName: Name; flags?: number },
  ) {
    const body = new WireWriter().u64(how.newParent);
    if (how.flags !== undefined) body.u32(how.flags).u32(0);
    body.text(how.name).text(how.newName);
    const opcode = how.flags === undefined ? 12 : 45;
    return this.ask(opcode, { inode: parent, body }, replies.nothing);
  }

  link(parent: number, how: { name: Name; target: number }) {
    return this.#entry(13, parent, new WireWriter().u64(how.target).text(how.name));
  }

  open(inode: number, how: { flags?: number; openFlags?: number } = {}) {
    const body = new WireWriter().u32(how.flags ?? 0).u32(how.openFlags ?? 0);
    return this.ask(
      14,
      { inode, body },
      (reply) => this.#opened(inode, how.flags ?? 0, replies.open(reply)),
    );
  }

  /** Fails, as in the kernel, an open whose reply does not go with those before. */
  #opened(inode: number, flags: number, seen: SeenOpen): SeenOpen {
    try {
      this.io.open(inode, seen, flags);
    } catch (error) {
      this.tellLater(18, { inode, body: this.#releaseIn(seen.handle, flags) });
      throw error;
    }
    return seen;
  }

  #releaseIn(handle: Wide, flags: number): WireWriter {
    return new WireWriter().u64(handle).u32(flags).u32(0).u64(-1n);
  }

  /** mmap(2) of an open file, shared; undefined where the mapping is not of a backing file. */
  map(inode: number, handle: number): Mapping | undefined {
    return this.io.map(inode, handle);
  }

  create(
    parent: number,
    how: { name: Name; flags?: number; mode?: number; umask?: number; openFlags?: number },
  ) {
    return this.#created(35, parent, how);
  }

  tmpfile(parent: number, how: { flags?: number; mode?: number; umask?: number } = {}) {
    return this.#created(51, parent, { ...how, name: "/" });
  }

  read(inode: number, how: { handle: Wide; offset: Wide; size: number }) {
    const { handle, offset, size } = how;
    const passed = this.io.read(inode, Number(handle), Number(offset), size);
    return passed === undefined ? this.readAhead(inode, how) : this.known(passed);
  }

  /** READ, whatever the handle: posix_fadvise(WILLNEED) asks for it even where reads pass through. */
  readAhead(inode: number, how: { handle: Wide; offset: Wide; size: number }) {
    const body = this.#readIn(how.handle, how.offset, how.size);
    return this.ask(15, { inode, body }, replies.bytes);
  }

  write(
    inode: number,
    how: { handle: Wide; offset: Wide; data: Uint8Array; writeFlags?: number },
  ) {
    const body = new WireWriter().u64(how.handle).u64(how.offset).u32(how.data.length);
    body.u32(how.writeFlags ?? 0).u64(0).u32(0).u32(0);
    return this.ask(16, { inode, body, tail: how.data }, replies.count32);
  }

  statfs(inode = 1) {
    return this.ask(17, { inode }, replies.statfs);
  }

  release(inode: number, how: { handle: Wide; flags?: number }) {
    this.io.release(inode, Number(how.handle));
    const body = this.#releaseIn(how.handle, how.flags ?? 0);
    return this.ask(18, { inode, body }, replies.nothing);
  }

  fsync(inode: number, how: { handle: Wide; dataOnly?: boolean }) {
    return this.ask(20, { inode, body: this.#fsyncIn(how) }, replies.nothing);
  }

  setxattr(
    inode: number,
    how: { name: Name; value: Uint8Array; flags?: number; xattrFlags?: number },
  ) {
    const body = new WireWriter().u32(how.value.length).u32(how.flags ?? 0);
    if (this.#setxattrExtended) body.u32(how.xattrFlags ?? 0).u32(0);
    return this.ask(21, { inode, body: body.text(how.name).bytes(how.value) }, replies.nothing);
  }

  /** Asks for the value within `room` bytes. */
  getxattr(inode: number, how: { name: Name; room?: number }) {
    const body = new WireWriter().u32(how.room ?? 65536).u32(0).text(how.name);
    return this.ask(22, { inode, body }, replies.bytes);
  }

  getxattrSize(inode: number, name: Name) {
    const body = new WireWriter().u32(0).u32(0).text(name);
    return this.ask(22, { inode, body }, replies.count32);
  }

  listxattr(inode: number, room = 65536) {
    return this.ask(23, { inode, body: new WireWriter().u32(room).u32(0) }, replies.bytes);
  }

  listxattrSize(inode: number) {
    return this.ask(23, { inode, body: new WireWriter().u32(0).u32(0) }, replies.count32);
  }

  removexattr(inode: number, name: Name) {
    return this.ask(24, { inode, body: new WireWriter().text(name) }, replies.nothing);
  }

  flush(inode: number, handle: Wide) {
    const body = new WireWriter().u64(handle).u32(0).u32(0).u64(-1n);
    return this.ask(25, { inode, body }, replies.nothing);
  }

  opendir(inode: number) {
    return this.ask(27, { inode, body: new WireWriter().u32(0).u32(0) }, replies.open);
  }

  readdir(inode: number, how: { cookie?: Wide; size?: number } = {}) {
    const body = this.#readIn(0, how.cookie ?? 0, how.size ?? 4096);
    return this.ask(28, { inode, body }, replies.names);
  }

  readdirplus(inode: number, how: { cookie?: Wide; size?: number } = {}) {
    const body = this.#readIn(0, how.cookie ?? 0, how.size ?? 4096);
    return this.ask(44, { inode, body }, (reply) => {
      const seen = replies.namesPlus(reply);
      for (const { entry } of seen) if (entry !== undefined) this.look(entry);
      return seen;
    });
  }

  releasedir(inode: number) {
    const body = new WireWriter().u64(0).u32(0).u32(0).u64(0);
    return this.ask(29, { inode, body }, replies.nothing);
  }

  fsyncdir(inode: number, how: { dataOnly?: boolean } = {}) {
    const body = this.#fsyncIn({ handle: 0, ...how });
    return this.ask(30, { inode, body }, replies.nothing);
  }

  /** Says that the process behind request `target` was signalled. */
  interrupt(target: number): void {
    this.queueRequest(36, target | 1, { inode: 0, body: new WireWriter().u64(target) });
    this.serve();
  }

  destroy() {
    return this.ask(38, { inode: 0 }, replies.nothing);
  }

  fallocate(inode: number, how: { handle: Wide; offset: Wide; length: Wide; mode?: number }) {
    const body = new WireWriter().u64(how.handle).u64(how.offset).u64(how.length);
    return this.ask(43, { inode, body: body.u32(how.mode ?? 0).u32(0) }, replies.nothing);
  }

  lseek(inode: number, how: { handle: Wide; offset: Wide; whence: number }) {
    const body = new WireWriter().u64(how.handle).u64(how.offset).u32(how.whence).u32(0);
    return this.ask(46, { inode, body }, replies.count64);
  }

  /** COPY_FILE_RANGE_64 where `wide`, else COPY_FILE_RANGE. */
  copyFileRange(
    inode: number,
    how: {
      handle: Wide;
      offset: Wide;
      targetInode: number;
      targetHandle: Wide;
      targetOffset: Wide;
      length: Wide;
      wide?: boolean;
    },
  ) {
    const body = new WireWriter().u64(how.handle).u64(how.offset).u64(how.targetInode);
    body.u64(how.targetHandle).u64(how.targetOffset).u64(how.length).u64(0);
    const decode = how.wide ? replies.count64 : replies.count32;
    return this.ask(how.wide ? 53 : 47, { inode, body }, decode);
  }

  /** Any other request: `body` as it is. */
  raw(opcode: number, inode: number, body: Uint8Array = new Uint8Array(0)) {
    return this.ask(opcode, { inode, tail: body }, replies.bytes);
  }

  #created(
    opcode: number,
    parent: number,
    how: { name: Name; flags?: number; mode?: number; umask?: number; openFlags?: number },
  ) {
    const body = new WireWriter().u32(how.flags ?? 0o100002).u32(how.mode ?? 0o100644);
    body.u32(how.umask ?? 0).u32(how.openFlags ?? 0).text(how.name);
    return this.ask(opcode, { inode: parent, body }, (reply) => {
      const seen = replies.create(reply);
      this.look(seen.entry);
      this.#opened(seen.entry.inode, how.flags ?? 0o100002, seen.open);
      return seen;
    });
  }

  #readIn(handle: Wide, offset: Wide, size: number): WireWriter {
    return new WireWriter().u64(handle).u64(offset).u32(size).u32(0).u64(0).u32(0).u32(0);
  }

  #fsyncIn(how: { handle: Wide; dataOnly?: boolean }): WireWriter {
    return new WireWriter().u64(how.handle).u32(how.dataOnly ? 1 : 0).u32(0);
  }

  #entry(opcode: number, inode: number, body: WireWriter): Answer<SeenEntry> {
    return this.ask(opcode, { inode, body }, (reply) => {
      const seen = replies.entry(reply);
      this.look(seen);
      return seen;
    });
  }
}
