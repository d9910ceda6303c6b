/**
 * A process that serves `TrickyFilesystem` on a real mount, for tests: `fuse_server.ts DIRECTORY
 * [--helper] [--passthrough] [--following]`. Prints a line `ready N` (N: the connection's number) once it serves, and `end RESULT`
 * when the kernel has let go. Unmounting from outside ends it; so does the end of its standard input,
 * so that it never outlives the test.
 */
import { systemClock } from "../../src/runtime/clock.ts";
import { KernelDevice } from "../../src/fuse/device.ts";
import { mount, unmount } from "../../src/fuse/mount.ts";
import { Session } from "../../src/fuse/session.ts";
import * as libc from "../../src/runtime/libc.ts";
import { TrickyFilesystem } from "./tricky_filesystem.ts";

const [directory, ...flags] = Deno.args;
const mounted = mount(directory, {
  fsname: "zero,test \\ fs",
  helper: flags.includes("--helper"),
});
const device = new KernelDevice(mounted.fd);
const { uid, gid } = libc.processIds();
const filesystem = new TrickyFilesystem(systemClock.now, { uid, gid });
let defects = 0;
const session = new Session(device, filesystem, {
  acl: false,
  passthrough: flags.includes("--passthrough"),
  following: flags.includes("--following"),
  onDefect: (error, opcode) => {
    defects++;
    console.error("defect", opcode, error);
  },
});
const poll = new libc.PollSet([
  { fd: device.fd, events: libc.POLL.IN },
  { fd: 0, events: libc.POLL.IN },
]);
filesystem.session = session;
filesystem.tell = (line) => console.log(line);
// The kernel's INIT comes first; before it is answered nothing works, not even telling an abort.
let result = session.serve(1);
while (session.negotiated === undefined && poll.wait(10_000) > 0) result = session.serve(1);
console.log(`ready ${mounted.connection}`);
while (result === "drained" || result === "more") {
  if (result === "drained") poll.wait(-1);
  if (poll.ready(1) !== 0) unmount(mounted, { lazy: true });
  result = session.serve(1024);
  if (poll.ready(1) !== 0 && result === "drained") break;
}
device.close();
console.log(`end ${result} defects ${defects} destroyed ${filesystem.destroyed}`);
