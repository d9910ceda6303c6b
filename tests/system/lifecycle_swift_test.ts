/** The life cycle over a real S3 server that is not Amazon's: OpenStack Swift. */
import { lifeCycle } from "../harness/life_cycle.ts";
import { ensureSwift, startSwift } from "../harness/swift_server.ts";

const missing = await ensureSwift();
if (missing !== undefined) console.log(`skipped, over Swift: ${missing}`);

Deno.test({
  name: "the life cycle holds over OpenStack Swift",
  ignore: missing !== undefined,
  fn: async (test) => {
    const swift = await startSwift();
    try {
      const { endpoint, region } = swift;
      const store = `s3://${await swift.createBucket()}/home?endpoint=${endpoint}&region=${region}`;
      const env = { AWS_ACCESS_KEY_ID: swift.keyId, AWS_SECRET_ACCESS_KEY: swift.applicationKey };
      await lifeCycle(test, { store, env });
    } finally {
      await swift.stop();
    }
  },
});
