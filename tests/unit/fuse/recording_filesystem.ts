/**
 * A file system that does what a test tells it: it keeps every request and answers from `answers`,
 * where a function is called with the request, an Error is thrown and PARKED parks.
 */
import { FsError } from "../../../src/domain/errors.ts";
import { Errno } from "../../../src/domain/errno.ts";
import type * as fuse from "../../../src/fuse/operations.ts";
import { Session, type SessionOptions } from "../../../src/fuse/session.ts";
import { KernelSimulator } from "../../harness/kernel_simulator.ts";
import type { SimulatorOptions } from "../../harness/simulated_connection.ts";

export const someAttributes: fuse.Attributes = {
  inode: 2 ** 52 + 7,
  mode: 0o100644,
  nlink: 3,
  uid: 1000,
  gid: 4_000_000_000,
  rdev: 0x12345,
  size: 2 ** 52 + 1,
  blocks: 2 ** 44 + 3,
  blockSize: 4096,
  atime: { seconds: -1, nanoseconds: 999_999_999 },
  mtime: { seconds: 2 ** 40 + 5, nanoseconds: 1 },
  ctime: { seconds: -(2 ** 33) - 1, nanoseconds: 0 },
};

export const someEntry: fuse.Entry = {
  attributes: someAttributes,
  generation: 1,
  entryTimeoutMs: 86_400_000,
  attributeTimeoutMs: 1500.25,
};

export interface Call {
  method: string;
  request: unknown;
}

const METHODS = [
  "lookup",
  "getattr",
  "setattr",
  "readlink",
  "symlink",
  "mknod",
  "mkdir",
  "unlink",
  "rmdir",
  "rename",
  "link",
  "open",
  "create",
  "tmpfile",
  "read",
  "write",
  "flush",
  "release",
  "fsync",
  "fsyncdir",
  "readdir",
  "statfs",
  "getxattr",
  "setxattr",
  "listxattr",
  "removexattr",
  "fallocate",
  "lseek",
  "copyFileRange",
  "syncfs",
] as const;
export type Method = typeof METHODS[number];

export interface Rig {
  kernel: KernelSimulator;
  session: Session;
  calls: Call[];
  answers: Partial<Record<Method, unknown>>;
  defects: { error: unknown; opcode: string }[];
  filesystem: fuse.FilesystemOperations;
}

/** A session on a simulated kernel, INIT done unless `init` is false. Methods in `without` are absent. */
export function rig(
  options: SimulatorOptions & { session?: SessionOptions; init?: boolean; without?: Method[] } = {},
): Rig {
  const calls: Call[] = [];
  const answers: Rig["answers"] = {};
  const methods: Record<string, unknown> = {};
  for (const method of METHODS.filter((name) => !options.without?.includes(name))) {
    methods[method] = (request: fuse.WriteRequest, second: unknown) => {
      // Deep enough a copy: a write's bytes are good during the call only.
      calls.push({
        method,
        request: method === "write" ? { ...request, data: request.data.slice() } : { ...request },
      });
      const answer = answers[method];
      if (answer instanceof Error) throw answer;
      if (typeof answer === "function") return answer(request, second);
      return answer;
    };
  }
  const note = (method: string, request: unknown) => void calls.push({ method, request });
  const filesystem = {
    ...methods,
    forget: (inode: number, count: number) => note("forget", { inode, count }),
    interrupt: (unique: number) => note("interrupt", { unique }),
    destroy: () => note("destroy", {}),
  } as unknown as fuse.FilesystemOperations;
  const kernel = new KernelSimulator(options);
  const defects: Rig["defects"] = [];
  const session = new Session(kernel.device, filesystem, {
    onDefect: (error, opcode) => defects.push({ error, opcode }),
    ...options.session,
  });
  kernel.attach(session);
  if (options.init !== false) kernel.init();
  return { kernel, session, calls, answers, defects, filesystem };
}

/** What a method throws for an expected failure. */
export const failure = (name: keyof typeof Errno) => new FsError(Errno[name]);
