/**
 * How long `zero policy replay` takes with a record that is full (16 MiB: 699,048 accesses), and how
 * much memory, for two policies and the three bounds, with the curve.
 *
 *   deno run -A bench/replay_full.ts
 */
import { loadPolicyFile } from "../src/daemon/effective_policy.ts";
import { marksFor, runReplay } from "../src/daemon/replay.ts";
import { TraceRing } from "../src/policy/trace.ts";
import { zipfTrace } from "../tests/unit/policy/traces.ts";

const EVENTS = 699_048;
const TARGET = 2e9;
const { events: pattern } = zipfTrace(3);
const ring = TraceRing.create(EVENTS);
for (let n = 0; n < EVENTS; n++) {
  const round = Math.floor(n / pattern.length);
  const event = pattern[n % pattern.length];
  // Three sets of files, in turns of 60 days.
  const inode = event.inode + round % 3 * 4_000;
  ring.append({ ...event, inode, timeMs: event.timeMs + round * 60 * 86_400_000 });
}
const events = ring.inOrderOfTime();
const policies = ["laptop", "minimal"].map((name) => {
  const { policy } = loadPolicyFile(new URL(`../policies/${name}.yaml`, import.meta.url).pathname);
  return { name, policy, marks: marksFor(policy, TARGET) };
});
const start = performance.now();
const { rows } = runReplay({ events, policies });
const seconds = (performance.now() - start) / 1000;
for (const { name, result } of rows) {
  console.log(`${name.padEnd(10)} ${result.hitRatio.toFixed(3)}`);
}
const megabytes = Math.round(Deno.memoryUsage().rss / 1e6);
console.log(`${EVENTS} accesses: ${seconds.toFixed(1)} s, ${megabytes} MB resident`);
