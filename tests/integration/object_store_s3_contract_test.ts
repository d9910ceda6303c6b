import { openObjectStore } from "../../src/object_store/open_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { defineObjectStoreContract } from "../contracts/object_store_contract.ts";
import { startB2Simulator } from "../harness/b2_simulator.ts";

const parts = { clock: systemClock, random: systemRandom };

for (const prefix of ["", "some where/zero"]) {
  defineObjectStoreContract(`S3 store over the simulator, prefix '${prefix}'`, async () => {
    // Small pages, so that every listing of the suite has several.
    const simulator = startB2Simulator({ pageSize: 3 });
    const { credentials } = simulator;
    const store = await openObjectStore(simulator.url(encodeURI(prefix)), {
      ...parts,
      credentials,
    });
    return {
      store,
      removeBucket: () => simulator.setBucket(simulator.bucket, false),
      hide: (key) => simulator.hide(prefix === "" ? key : `${prefix}/${key}`),
      dispose: () => simulator.stop(),
    };
  });
}
