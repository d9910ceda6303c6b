/**
 * What a bucket costs after a month of changes: everything that the store bills, against what is needed
 * (live, in the trash, dead within its grace, metadata of the states that are kept). Files are created,
 * written anew, changed in the middle, saved by rename and deleted every day; garbage is collected once a
 * day, as a mount does. Time is simulated.
 */
import assert from "node:assert/strict";
import { TrashTable } from "../../src/metadata/trash_table.ts";
import { CHUNK } from "../harness/care_fixture.ts";
import { soak } from "../harness/fault_seed.ts";
import { assertSound, recoverFrom, ShippingFixture } from "../harness/recovery_fixture.ts";
import { SeededRandom } from "../harness/seeded_random.ts";

const DAYS = 30;
const FILES = soak ? 400 : 120;
/** Changes a day, as a share of the files. */
const CHURNS = soak ? [0.03, 0.1, 0.25] : [0.1];
const SHARE = 1.3;

interface Month {
  zero: ShippingFixture;
  random: SeededRandom;
  names: string[];
  made: number;
}

const content = ({ random }: Month) => random.bytes(1 + random.below(6 * CHUNK));

function create(month: Month): void {
  const name = `file ${month.made++}`;
  month.zero.write(name, content(month));
  month.names.push(name);
}

/** One thing that a program does. */
async function change(month: Month): Promise<void> {
  const { zero, random, names } = month;
  // Some files change all the time, most hardly ever.
  const at = Math.floor(names.length * random.fraction() ** 2);
  const name = names[at];
  switch (random.below(5)) {
    case 0:
      zero.unlink(name);
      names.splice(at, 1);
      return create(month);
    case 1:
    case 2:
      return void zero.write(name, content(month));
    case 3: {
      const inode = zero.find(name)!;
      await zero.read(inode);
      const { handle } = zero.answered(zero.kernel.open(inode, { flags: 2 }));
      const data = random.bytes(100);
      zero.answered(zero.kernel.write(inode, { handle, offset: 0, data }));
      zero.answered(zero.kernel.flush(inode, handle));
      zero.answered(zero.kernel.release(inode, { handle }));
      return;
    }
    case 4:
      zero.write(`${name}~`, content(month));
      zero.answered(zero.kernel.rename(1, { name: `${name}~`, newParent: 1, newName: name }));
  }
}

async function day(month: Month, churn: number): Promise<void> {
  const { zero, names } = month;
  const changes = Math.ceil(names.length * churn);
  for (let i = 0; i < changes; i++) {
    await change(month);
    if (i % 5 === 4) await zero.pass(15_000);
  }
  await zero.ship();
  await zero.pass(5_000);
  zero.days(1);
  await zero.collect({ force: false });
  zero.turn();
}

for (const churn of CHURNS) {
  Deno.test(`after a month in which ${100 * churn} % of the files change a day, the bucket holds at most ${SHARE} times what is needed`, async () => {
    await using zero = new ShippingFixture({ packBytes: 16 * CHUNK, snapshotBytes: 20_000 });
    const month: Month = { zero, random: new SeededRandom(12), names: [], made: 0 };
    for (let i = 0; i < FILES; i++) create(month);
    await zero.ship();
    for (let at = 0; at < DAYS; at++) await day(month, churn);

    const report = await zero.collect({ apply: false, force: false });
    const trash = new TrashTable(zero.database).bytesOnlyThere();
    const live = report.live.referencedBytes - trash;
    const retained = report.own.bytes;
    const grace = report.dead.bytes + report.unknown.bytes;
    const needed = live + trash + retained + grace;
    const billed = report.billed.bytes;
    console.log({
      live,
      trash,
      retained,
      grace,
      needed,
      billed,
      ratio: (billed / needed).toFixed(3),
      packs: report.live.objects,
    });
    assert.equal(report.refused, undefined);
    assert(billed <= SHARE * needed, `${billed} bytes are billed, ${needed} needed`);
    // It is not cheap because something is missing.
    assert.equal(report.missing, 0);
    const { directory, result } = await recoverFrom(zero.bucket, zero);
    assertSound(directory);
    assert.deepEqual(result.notNewest, []);
    Deno.removeSync(directory, { recursive: true });
  });
}
