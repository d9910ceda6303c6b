/**
 * The daemon is killed at a random moment and the cache's disk is gone, while a program saves files in
 * all the ways there are. What had been saved and shipped by then comes back, each file in one version
 * and never a mixture, and what is not in its newest state is listed. Then work goes on, and the disk
 * burns again.
 */
import assert from "node:assert/strict";
import { faultRandom, soak, until } from "../harness/fault_seed.ts";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { SimulatorProcess } from "../harness/simulator_process.ts";
import { requireCode, run } from "../harness/zero_process.ts";

const BURNS = soak ? 6 : 2;
const LONG_MS = 180_000;
const program = new URL("../harness/saver.py", import.meta.url).pathname;

interface Change {
  atMs: number;
  what: "begin" | "done";
  name: string;
  /** Grows from change to change; 0: deleted. */
  number: number;
}

interface Found {
  of: string;
  number: number;
  whole: boolean;
  size: number;
}

interface Report {
  pointMs: number;
  notNewest: { path: string; became: "older" | "predecessor" | "missing"; size?: number }[];
}

class Savers {
  readonly log: string;
  constructor(readonly mount: ScratchMount) {
    this.log = `${mount.directory}/changes`;
    Deno.writeTextFileSync(this.log, "");
  }

  changes(): Change[] {
    return Deno.readTextFileSync(this.log).split("\n").slice(0, -1).map((line) => {
      const [atMs, what, name, number] = line.split(" ");
      return { atMs: Number(atMs), what: what as Change["what"], name, number: Number(number) };
    });
  }

  start(seed: number): AsyncDisposable {
    const child = new Deno.Command("python3", {
      args: [program, "run", this.mount.mountpoint, this.log, `${seed}`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    let over = false;
    const ended = child.status.then(() => over = true);
    return {
      async [Symbol.asyncDispose]() {
        if (!over) child.kill("SIGKILL");
        await ended;
      },
    };
  }

  async look(): Promise<Map<string, Found>> {
    const result = await run("python3", [program, "look", this.mount.mountpoint], {
      timeoutMs: LONG_MS,
    });
    requireCode(result, 0, "looking at what came back");
    return new Map(Object.entries(JSON.parse(result.stdout) as Record<string, Found>));
  }
}

/** What must be there at least: the state of names when everything was last known to be in the bucket. */
type Known = Map<string, number>;

function stateAfter(known: Known, changes: Change[]): Known {
  const state = new Map(known);
  for (const { what, name, number } of changes) {
    if (what === "begin") continue;
    if (number === 0) state.delete(name);
    else state.set(name, number);
  }
  return state;
}

/** `known`: what was there at first; `shipped`: what a sync has promised since; `changes`: all since then. */
function judge(found: Map<string, Found>, facts: {
  known: Known;
  shipped: Known;
  changes: Change[];
  report: Report;
}): Set<string> {
  const { known, shipped, changes, report } = facts;
  const listed = new Map(report.notNewest.map((each) => [each.path.replace(/^\//, ""), each]));
  const begun = changes.filter(({ what, atMs }) => what === "begin" && atMs <= report.pointMs + 1);
  for (const [entry, { of, number, whole, size }] of found) {
    const name = entry.replace(/~$/, "");
    const told = listed.get(entry);
    if (told !== undefined) {
      assert.notEqual(told.became, "missing", `${entry} is said to be left out, and is there`);
      assert.equal(told.size, size, `${entry} has another size than was said`);
    }
    // What was being written when it was lost had no content yet.
    if (size === 0 && (entry !== name || !shipped.has(name))) continue;
    assert(whole, `${entry} is a mixture, or a part of ${of} ${number}`);
    assert.equal(of, name, `${entry} holds another file's content`);
    const possible = number === known.get(name) ||
      begun.some((change) => change.name === name && change.number === number);
    assert(possible, `${entry} is version ${number}, which was not there at that time`);
    if (entry === name) {
      assert(number >= (shipped.get(name) ?? 0), `${entry} is older than what was in the bucket`);
    }
  }
  for (const name of shipped.keys()) {
    const deleted = begun.some((change) => change.name === name && change.number === 0);
    // Once it has been in the bucket, no moment of a save by rename leaves nothing under its name.
    assert(found.has(name) || deleted, `${name} was in the bucket, and is gone`);
  }
  for (const [path, { became }] of listed) {
    assert.equal(found.has(path), became !== "missing", `${path} is listed as ${became}`);
    const name = path.replace(/~$/, "");
    assert(begun.some((change) => change.name === name), `${path} is listed, and had not changed`);
  }
  return new Set([...listed.values()].map(({ became }) => became));
}

async function burns(place: { store?: string; env?: Record<string, string> }): Promise<void> {
  const random = faultRandom("burnt disk");
  await using mount = await ScratchMount.create({
    store: place.store,
    env: { ...place.env, ZERO_METADATA_INTERVAL: "2s", ZERO_UPLOAD_AFTER: "200ms" },
  });
  const savers = new Savers(mount);
  const places = ["--store", mount.store, "--cache", mount.cache];
  let known: Known = new Map();
  let outcomes = new Set<string>();
  for (let burn = 0; burn < BURNS; burn++) {
    const before = savers.changes().length;
    let shipped = known;
    {
      await using _saver = savers.start(random.next());
      const wanted = before + 20 + random.below(40);
      await until("files are saved", () => savers.changes().length > wanted ? true : undefined);
      const atSync = savers.changes();
      const sync = await mount.zero(["sync", mount.mountpoint], { timeoutMs: LONG_MS });
      assert([0, 5].includes(sync.code), sync.stderr);
      shipped = stateAfter(
        known,
        atSync.slice(before).filter(({ name }) => {
          // One that was being changed while it synced may have been in the bucket as it was before.
          return sync.code === 0 ||
            !savers.changes().slice(atSync.length).some((c) => c.name === name);
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, random.below(4_000)));
      await mount.killDaemon();
    }
    await mount.zeroOk(["unmount", mount.mountpoint]);
    await Deno.remove(mount.cache, { recursive: true });
    const recovered = await mount.zero(["recover", ...places, "--take-over", "--json"], {
      timeoutMs: LONG_MS,
    });
    assert([0, 5].includes(recovered.code), recovered.stderr);
    const report = JSON.parse(recovered.stdout) as Report;
    assert.equal(recovered.code === 0, report.notNewest.length === 0, recovered.stdout);
    await mount.mount();
    const found = await savers.look();
    const seen = judge(found, { known, shipped, changes: savers.changes().slice(before), report });
    outcomes = outcomes.union(seen);
    if (soak) {
      const fsck = await mount.zero(["fsck", mount.mountpoint], { timeoutMs: LONG_MS });
      requireCode(fsck, 0, "the recovered tree is consistent");
    }
    known = new Map(
      // One that came back without the content it never had is not there as far as the next burn goes.
      [...found].filter(([name, { whole }]) => whole && !name.endsWith("~"))
        .map(([name, { number }]) => [name, number]),
    );
    await mount.sh("rm -f ./*~");
  }
  console.log(
    `${BURNS} burnt disks, ${savers.changes().length} changes; ${[...outcomes].join(", ")}`,
  );
  await mount.unmount();
}

Deno.test("whenever the daemon is killed and its disk burns, each file is whole in one version, and what is lost is listed", () =>
  burns({}));

Deno.test({
  name: "the same with a bucket behind HTTP",
  ignore: !soak,
  fn: async () => {
    await using simulator = await SimulatorProcess.start();
    await burns({ store: simulator.url("some/prefix"), env: simulator.env });
  },
});
