/** Directories with very many names, read while others change them. */
import assert from "node:assert/strict";
import { ScratchMount } from "../harness/scratch_mount.ts";

const soak = Deno.env.get("ZERO_SOAK") === "1";
const FILES = soak ? 100_000 : 4_000;
const SECONDS = soak ? 60 : 4;
const churn = new URL("../harness/posix/directory_churn.py", import.meta.url).pathname;

Deno.test(`a reader sees each of ${FILES} names once while others add, rename and remove`, async () => {
  await using mount = await ScratchMount.create();
  await mount.sh(
    `mkdir large && cd large && seq -f steady-%.0f 0 ${FILES - 1} | xargs touch && ls | wc -l`,
    { timeoutMs: 900_000 },
  );
  const readings = await mount.sh(`/usr/bin/python3 -B ${churn} large ${FILES} ${SECONDS}`, {
    timeoutMs: (SECONDS + 60) * 1000,
  });
  assert.ok(Number(readings) >= 1, readings);
  assert.equal(await mount.sh("ls large | wc -l"), `${FILES}\n`);
  await mount.sh("rm -rf large", { timeoutMs: 900_000 });
  await mount.unmount();
});
