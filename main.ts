/** Zero's entry: hands the command line to src/cli. Nothing else. */
import { run } from "./src/cli/run.ts";

if (import.meta.main) Deno.exitCode = await run();
