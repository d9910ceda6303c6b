/** The clock that tests move: what works on other threads takes no simulated time. */
import assert from "node:assert/strict";
import { SimulatedClock } from "../../harness/simulated_clock.ts";

Deno.test("simulated hours passed while Web Crypto worked on another thread, the more the busier the machine", async () => {
  const clock = new SimulatedClock();
  const parameters = { name: "AES-GCM", iv: new Uint8Array(12) };
  const key = await crypto.subtle.importKey("raw", new Uint8Array(32), "AES-GCM", false, [
    "encrypt",
  ]);
  const tick = () => void clock.after(60_000, tick);
  tick();
  await clock.until(crypto.subtle.encrypt(parameters, key, new Uint8Array(16 << 20)));
  assert.equal(clock.monotonicMs(), 0);
});
