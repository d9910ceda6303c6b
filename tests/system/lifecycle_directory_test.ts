/** The life cycle over a folder, such as a mounted disk. */
import { lifeCycle } from "../harness/life_cycle.ts";

Deno.test("the life cycle holds over a folder", (test) => lifeCycle(test, {}));
