/** The life cycle over S3 with B2's habits, simulated in another process. */
import { lifeCycle } from "../harness/life_cycle.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";

Deno.test("the life cycle holds over a bucket with B2's habits", async (test) => {
  await using simulator = await SimulatorProcess.start();
  await lifeCycle(test, { store: simulator.url("some/prefix"), env: simulator.env });
});
