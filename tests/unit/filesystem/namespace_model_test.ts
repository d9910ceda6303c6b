/** The namespace against its specification: random operations on both, and no difference. */
import assert from "node:assert/strict";
import { soak } from "../../harness/fault_seed.ts";
import { NamespaceComparison } from "../../harness/namespace_comparison.ts";
import { OperationGenerator } from "../../harness/operation_generator.ts";
import { SeededRandom } from "../../harness/seeded_random.ts";

const OPERATIONS = soak ? 20_000 : 1000;
/** Kinds that must have succeeded: a generator that only ever met errors would prove nothing. */
const WANTED = ["create", "rename", "unlink", "rmdir", "link", "setattr", "setxattr", "readdir"];

for (const seed of [1, 2, 3, 4]) {
  Deno.test(`names and attributes behave as the reference says, seed ${seed}`, () => {
    const comparison = new NamespaceComparison();
    const generator = new OperationGenerator(new SeededRandom(seed));
    try {
      for (let i = 0; i < OPERATIONS; i++) {
        comparison.run(generator.next());
        if (i % 250 === 0) comparison.compareAll();
      }
      comparison.compareAll();
      for (const kind of WANTED) {
        const succeeded = comparison.outcomes.get(`${kind} ok`) ?? 0;
        assert(succeeded > (soak ? 5 : 2), `${kind} succeeded ${succeeded} times only`);
      }
    } finally {
      comparison.fixture.close();
    }
  });
}
