/** The life cycle over a real bucket, where one is named (tests/harness/real_bucket.ts). */
import { lifeCycle } from "../harness/life_cycle.ts";
import { REAL_BUCKET_VARIABLES, realBucket } from "../harness/real_bucket.ts";

const missing = realBucket() === undefined;
if (missing) {
  console.log(`skipped, over a real bucket: ${REAL_BUCKET_VARIABLES.join(", ")} are not all set`);
}

Deno.test({
  name: "the life cycle holds over a real bucket of B2",
  ignore: missing,
  fn: async (test) => {
    await using bucket = realBucket()!;
    await lifeCycle(test, { store: bucket.url, env: bucket.env, stepMs: 600_000 });
  },
});
