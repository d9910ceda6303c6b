/** The real bucket of B2 that the variables below name, where they are all set. */
import { openObjectStore } from "../../src/object_store/open_store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { hex, systemRandom } from "../../src/runtime/random.ts";

export const REAL_BUCKET_VARIABLES = [
  "ZERO_TEST_B2_BUCKET",
  "ZERO_TEST_B2_REGION",
  "ZERO_TEST_B2_KEY_ID",
  "ZERO_TEST_B2_APPLICATION_KEY",
] as const;

export interface RealBucket {
  /** URL with a prefix of this run's own. */
  url: string;
  /** What the program under test finds its credentials in. */
  env: Record<string, string>;
  /** Removes every version below the prefix. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A fresh prefix in the real bucket; undefined where none was named. */
export function realBucket(): RealBucket | undefined {
  const [bucket, region, keyId, applicationKey] = REAL_BUCKET_VARIABLES.map((name) =>
    Deno.env.get(name) || undefined
  );
  if (
    bucket === undefined || region === undefined || keyId === undefined ||
    applicationKey === undefined
  ) return undefined;
  const url = `b2://${bucket}/test-${hex(systemRandom.bytes(8))}?region=${region}`;
  return {
    url,
    env: { B2_APPLICATION_KEY_ID: keyId, B2_APPLICATION_KEY: applicationKey },
    async [Symbol.asyncDispose]() {
      const store = await openObjectStore(url, {
        clock: systemClock,
        random: systemRandom,
        credentials: { keyId, applicationKey },
      });
      try {
        for await (const version of store.listVersions("")) {
          await store.delete(version.key, version.versionId);
        }
      } finally {
        store.close();
      }
    },
  };
}
