/**
 * Runs operations on a namespace and on the reference at once and fails at the first difference: in
 * errno, attributes, listings, lookup counts, or in when an inode that nobody can reach is given up.
 */
import assert from "node:assert/strict";
import { errnoName } from "../../src/domain/errno.ts";
import { FsError } from "../../src/domain/errors.ts";
import type { Entry } from "../../src/fuse/operations.ts";
import { bytes, NamespaceFixture, text } from "./namespace_fixture.ts";
import type { Choice, Operation } from "./operation_generator.ts";
import { nameKey, ReferenceFilesystem, ReferenceNode } from "./reference_filesystem.ts";

export class NamespaceComparison {
  readonly fixture: NamespaceFixture;
  readonly #reference: ReferenceFilesystem;
  /** What the kernel knows: inode number, node, lookups. */
  readonly #known = new Map<number, { node: ReferenceNode; lookups: number }>();
  readonly #inodes = new Map<ReferenceNode, number>();
  /** How often each errno came, "ok" included: shows that the operations reach what they should. */
  readonly outcomes = new Map<string, number>();

  constructor() {
    this.fixture = new NamespaceFixture();
    this.#reference = new ReferenceFilesystem(this.fixture.clock.now());
    this.#bind(1, this.#reference.root);
  }

  /** Runs one operation on both and compares what it returns and what it leaves. */
  run(operation: Operation): void {
    this.fixture.tick(1.001);
    this.#reference.time = this.fixture.clock.now();
    operation = this.#named(operation);
    const expected = outcome(() => this.#onReference(operation));
    const actual = outcome(() => this.#onNamespace(operation, expected.value));
    const label = JSON.stringify(
      operation,
      (_key, value) => value instanceof Uint8Array ? nameKey(value.subarray(0, 20)) : value,
    );
    assert.equal(actual.errno, expected.errno, label);
    assert.deepEqual(actual.value, comparable(expected.value), label);
    const name = `${operation.kind} ${actual.errno}`;
    this.outcomes.set(name, (this.outcomes.get(name) ?? 0) + 1);
    this.#settle(label);
  }

  #node(choice: Choice): ReferenceNode {
    const nodes = [...this.#known.values()].map(({ node }) => node)
      .filter((node) => choice.among === "all" || node.type === "directory");
    return nodes[Math.floor(choice.pick * nodes.length)];
  }

  /** The operation with the name that `existing` stands for. */
  #named(operation: Operation): Operation {
    if (!("existing" in operation) || operation.existing === undefined) return operation;
    const names = [...this.#node(operation.directory).children.keys()];
    if (names.length === 0) return operation;
    const key = names[Math.floor(operation.existing * names.length)];
    return { ...operation, name: Uint8Array.from(key, (letter) => letter.charCodeAt(0)) };
  }

  #id(choice: Choice): number {
    return this.#inodes.get(this.#node(choice))!;
  }

  #onReference(operation: Operation): unknown {
    const reference = this.#reference;
    switch (operation.kind) {
      case "create":
        return reference.create(this.#node(operation.directory), nameKey(operation.name), {
          ...operation,
          rdev: 0x103,
          target: operation.type === "symlink" ? bytes("../target") : undefined,
        });
      case "temporary":
        return reference.temporary(this.#node(operation.directory), operation);
      case "lookup":
        return reference.lookup(this.#node(operation.directory), nameKey(operation.name));
      case "link": {
        const target = this.#node(operation.target);
        reference.link(this.#node(operation.directory), nameKey(operation.name), target);
        return target;
      }
      case "unlink":
        return reference.unlink(this.#node(operation.directory), nameKey(operation.name));
      case "rmdir":
        return reference.rmdir(this.#node(operation.directory), nameKey(operation.name));
      case "rename":
        return reference.rename(
          { directory: this.#node(operation.directory), name: nameKey(operation.name) },
          { directory: this.#node(operation.newDirectory), name: nameKey(operation.newName) },
          { exchange: (operation.flags & 2) !== 0, noReplace: (operation.flags & 1) !== 0 },
        );
      case "setattr":
        return reference.setAttributes(this.#node(operation.node), operation);
      case "setxattr":
        return reference.setXattr(this.#node(operation.node), operation.name, {
          value: operation.value,
          create: operation.flags === 1,
          replace: operation.flags === 2,
        });
      case "getxattr":
        return reference.getXattr(this.#node(operation.node), operation.name);
      case "removexattr":
        return reference.removeXattr(this.#node(operation.node), operation.name);
      case "listxattr":
        return reference.listXattr(this.#node(operation.node), operation);
      case "readdir":
        return reference.list(this.#node(operation.directory));
      case "readlink":
        return reference.readlink(this.#node(operation.node));
      default:
        return undefined;
    }
  }

  /** `expected` is the node that the reference gave, so that a new inode number can be tied to it. */
  #onNamespace(operation: Operation, expected: unknown): unknown {
    const { fixture } = this;
    const { namespace } = fixture;
    const naming = "directory" in operation && "name" in operation
      ? { ...fixture.header(this.#id(operation.directory)), name: operation.name }
      : undefined;
    switch (operation.kind) {
      case "create":
        return this.#entered(this.#create(operation), expected);
      case "temporary": {
        const request = { ...fixture.header(this.#id(operation.directory), operation), flags: 0 };
        const { mode, umask } = operation;
        const inode = namespace.createFile({
          ...request,
          mode,
          umask,
          name: new Uint8Array(),
          killPrivileges: false,
        });
        return this.#entered(namespace.entry(inode), expected);
      }
      case "lookup": {
        const entry = namespace.lookup(naming!);
        return "negative" in entry ? undefined : this.#entered(entry, expected);
      }
      case "link":
        return this.#entered(
          namespace.link({ ...naming!, target: this.#id(operation.target) }),
          expected,
        );
      case "unlink":
        return namespace.unlink(naming!);
      case "rmdir":
        return namespace.rmdir(naming!);
      case "rename":
        return namespace.rename({
          ...naming!,
          newParent: this.#id(operation.newDirectory),
          newName: operation.newName,
          flags: operation.flags,
        });
      case "setattr": {
        const { uid, gid, kind: _, node, ...set } = operation;
        fixture.setattr(this.#id(node), { ...set, newOwner: uid, newGroup: gid });
        return undefined;
      }
      case "setxattr":
        return namespace.setxattr({
          ...fixture.header(this.#id(operation.node)),
          name: bytes(operation.name),
          value: operation.value,
          flags: operation.flags,
          killSetgid: false,
        });
      case "getxattr":
        return fixture.getxattr(this.#id(operation.node), operation.name);
      case "removexattr":
        return namespace.removexattr(this.#xattr(operation));
      case "listxattr":
        return text(namespace.listxattr(fixture.header(this.#id(operation.node), operation)))
          .split("\0").slice(0, -1);
      case "readdir":
        return this.#readdir(operation, expected as Map<string, ReferenceNode> | undefined);
      case "readlink":
        return namespace.readlink(fixture.header(this.#id(operation.node)));
      default:
        return this.#kernel(operation.kind, this.#id(operation.node));
    }
  }

  #create(operation: Operation & { kind: "create" }): Entry {
    const { fixture } = this;
    const { namespace } = fixture;
    const { name, mode, umask } = operation;
    const request = { ...fixture.header(this.#id(operation.directory), operation), name, umask };
    switch (operation.type) {
      case "directory":
        return namespace.mkdir({ ...request, mode });
      case "symlink":
        return namespace.symlink({ ...request, target: bytes("../target") });
      case "file": {
        const created = { ...request, mode, flags: 0, killPrivileges: false };
        return namespace.entry(namespace.createFile(created));
      }
      default: {
        const type = new ReferenceNode(operation.type, fixture.clock.now()).mode & 0o170000;
        return namespace.mknod({ ...request, mode: type | mode, rdev: 0x103 });
      }
    }
  }

  #xattr(operation: { node: Choice; name: string }) {
    return { ...this.fixture.header(this.#id(operation.node)), name: bytes(operation.name) };
  }

  #readdir(
    operation: Operation & { kind: "readdir" },
    expected: Map<string, ReferenceNode> | undefined,
  ): string[] {
    const told = new Set<string>();
    const listed = this.fixture.list(this.#id(operation.directory), {
      ...operation,
      told: (name) => told.add(name),
    });
    for (const [name, inode] of listed) {
      const node = expected?.get(name);
      if (node === undefined) continue;
      if (told.has(name)) this.#learn(inode, node);
      // An inode that the kernel has forgotten gets its number back from whoever names it.
      if (!this.#inodes.has(node)) this.#inodes.set(node, inode);
      assert.equal(inode, this.#inodes.get(node), `inode of ${name}`);
    }
    return [...listed.keys()].sort();
  }

  /** What only the kernel does: handles and lookup counts. */
  #kernel(kind: "open" | "close" | "forget", inode: number): void {
    const { namespace, content, inodes } = this.fixture;
    const handles = content.open.get(inode) ?? 0;
    if (kind === "open") {
      content.open.set(inode, handles + 1);
      inodes.require(inode).holds++;
    } else if (kind === "close" && handles > 0) {
      content.open.set(inode, handles - 1);
      const record = inodes.require(inode);
      record.holds--;
      namespace.released(record);
    } else if (kind === "forget" && inode !== 1 && handles === 0) {
      // The kernel keeps a directory while it knows something in it, and an inode while it is open.
      namespace.forget(inode, this.#known.get(inode)!.lookups);
      this.#known.delete(inode);
    }
  }

  #entered(entry: Entry, expected: unknown): number {
    const { inode } = entry.attributes;
    if (expected instanceof ReferenceNode) this.#learn(inode, expected);
    return this.#inodes.has(expected as ReferenceNode) ? nodeNumber : inode;
  }

  #learn(inode: number, node: ReferenceNode): void {
    this.#bind(inode, node);
    this.#known.get(inode)!.lookups++;
  }

  #bind(inode: number, node: ReferenceNode): void {
    assert.equal(this.#inodes.get(node) ?? inode, inode, "an inode has changed its number");
    this.#inodes.set(node, inode);
    if (!this.#known.has(inode)) this.#known.set(inode, { node, lookups: 0 });
  }

  /** Everything the kernel knows looks the same on both sides, and what nobody can reach is gone. */
  #settle(label: string): void {
    const named = this.#reference.reachable();
    const links = this.#reference.linkCounts();
    for (const [inode, { node, lookups }] of this.#known) {
      assert.equal(this.fixture.lookups.get(inode), lookups, `${label}: lookups of ${inode}`);
      const { atime, mtime, ctime, mode, uid, gid, rdev, size, nlink } = this.fixture.stat(inode);
      assert.deepEqual(
        { atime, mtime, ctime, mode, uid, gid, rdev, size, nlink },
        {
          atime: node.atime,
          mtime: node.mtime,
          ctime: node.ctime,
          mode: node.mode,
          uid: node.uid,
          gid: node.gid,
          rdev: node.rdev,
          size: node.size,
          nlink: links.get(node) ?? 0,
        },
        `${label}: inode ${inode}`,
      );
    }
    for (const [node, inode] of this.#inodes) {
      if (named.has(node) || this.#known.has(inode) || this.fixture.content.isOpen(inode)) continue;
      assert(this.fixture.content.discarded.includes(inode), `${label}: ${inode} was not given up`);
      this.#inodes.delete(node);
    }
    for (const inode of this.#known.keys()) {
      assert(!this.fixture.content.discarded.includes(inode), `${label}: ${inode} was given up`);
    }
  }

  /** The whole tree, names and xattrs, and the rows behind it. */
  compareAll(): void {
    const { fixture } = this;
    for (const node of this.#reference.reachable()) {
      const id = this.#inodes.get(node);
      if (id === undefined) continue;
      for (const [name, value] of node.xattrs) {
        assert.deepEqual(fixture.getxattr(id, name), value);
      }
      if (node.type !== "directory") continue;
      const names = [...fixture.list(id, { slice: 3 }).keys()].sort();
      assert.deepEqual(names, [...this.#reference.list(node).keys()].sort());
    }
    fixture.assertIntact();
  }
}

/** Stands for "the inode of the node that the reference gave", which `#learn` has compared. */
const nodeNumber = -1;

function comparable(value: unknown): unknown {
  if (value instanceof ReferenceNode) return nodeNumber;
  return value instanceof Map ? [...value.keys()].sort() : value;
}

function outcome(operation: () => unknown): { errno: string; value?: unknown } {
  try {
    return { errno: "ok", value: operation() };
  } catch (error) {
    if (error instanceof FsError) return { errno: errnoName(error.errno) };
    throw error;
  }
}
