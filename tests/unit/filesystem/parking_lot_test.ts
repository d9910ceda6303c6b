import assert from "node:assert/strict";
import { ParkingLot } from "../../../src/filesystem/parking_lot.ts";
import type { RequestHeader, SessionPort } from "../../../src/fuse/operations.ts";

function lotOf() {
  const clock = { nowMs: 0 };
  const failed: number[] = [];
  const session = {
    resume: () => {},
    fail: (_: RequestHeader, errno: number) => failed.push(errno),
  } as unknown as SessionPort;
  return { clock, failed, lot: new ParkingLot(() => session, () => clock.nowMs) };
}

const request: RequestHeader = { unique: 2, inode: 5, uid: 0, gid: 0, pid: 0 };

Deno.test("a request that waits for this and for that in turn has one time for each", () => {
  const { clock, failed, lot } = lotOf();
  for (let turn = 0; turn < 4; turn++) {
    lot.park(request, { operation: "write", reason: "space", timeoutMs: 1000, lateErrno: 28 });
    clock.nowMs += 300;
    assert.deepEqual(failed, []);
    lot.resume(lot.find(2)!);
    lot.park(request, { operation: "write", reason: "sync" });
    lot.resume(lot.find(2)!);
  }
  lot.park(request, { operation: "write", reason: "space", timeoutMs: 1000, lateErrno: 28 });
  lot.expire();
  assert.deepEqual(failed, [28]);
});

Deno.test("a request that is parked says since when it waits for what it waits for now", () => {
  const { clock, lot } = lotOf();
  lot.park(request, { operation: "read", reason: "recall", timeoutMs: 1000 });
  clock.nowMs = 700;
  lot.resume(lot.find(2)!);
  lot.park(request, { operation: "read", reason: "recall", timeoutMs: 1000 });
  assert.equal(lot.find(2)!.sinceMs, 0);
  assert.equal(lot.find(2)!.deadlineMs, 1000);
});

Deno.test("a program that was killed during a sync does not wait for a recall afterwards", () => {
  const { lot } = lotOf();
  // Nobody has this thread id: it counts as gone.
  const dead = { ...request, pid: 2 ** 22 + 1 };
  lot.park(dead, { operation: "write", reason: "sync" });
  lot.noteInterrupt(lot.find(2)!);
  lot.resume(lot.find(2)!);
  assert.throws(
    () => lot.park(dead, { operation: "write", reason: "recall" }),
    { errno: 4 },
  );
  assert.equal(lot.size, 0);
});
