/**
 * Real programs on a mount: they must do what they do on a local disk, also after their files have
 * been evicted and after a remount. Programs that are not installed are left out.
 */
import assert from "node:assert/strict";
import { ScratchMount } from "../harness/scratch_mount.ts";
import { run } from "../harness/zero_process.ts";

const soak = Deno.env.get("ZERO_SOAK") === "1";
const SLOW_MS = 300_000;
const database = new URL("../harness/posix/sqlite_load.py", import.meta.url).pathname;

const installed = async (program: string) =>
  (await run("sh", ["-c", 'command -v "$0"', program])).code === 0;

function create(): Promise<ScratchMount> {
  return ScratchMount.create({ env: { ZERO_UPLOAD_AFTER: "50ms" } });
}

/** Everything goes to the bucket and leaves the local disk. */
async function evict(mount: ScratchMount): Promise<void> {
  await mount.zeroOk(["sync", mount.mountpoint], { timeoutMs: SLOW_MS });
  await mount.zeroOk(["evict", mount.mountpoint], { timeoutMs: SLOW_MS });
}

async function remount(mount: ScratchMount): Promise<void> {
  await mount.unmount();
  await mount.mount();
}

Deno.test({
  name: "git clones, repacks and checks a repository, also when it is evicted",
  ignore: !await installed("git"),
  fn: async () => {
    await using mount = await create();
    const git = "git -c user.name=t -c user.email=t@example.org -c gc.auto=0";
    await mount.sh(
      `mkdir origin && cd origin && git init -q && for i in 1 2 3 4 5; do ` +
        `mkdir -p d$i && seq $i 3000 > d$i/file && head -c 20000 /dev/urandom > d$i/noise && ` +
        `${git} add . && ${git} commit -q -m "change $i"; done`,
      { timeoutMs: SLOW_MS },
    );
    await mount.sh("git clone -q --no-hardlinks origin clone && git -C clone fsck --strict");
    await evict(mount);
    await mount.sh("git -C clone gc -q && git -C clone fsck --strict", { timeoutMs: SLOW_MS });
    await remount(mount);
    assert.equal(await mount.sh("git -C clone status --porcelain"), "");
    assert.equal(await mount.sh("git -C clone log --oneline | wc -l"), "5\n");
    await mount.unmount();
  },
});

Deno.test({
  name: "make builds a C project, and only what has changed",
  ignore: !await installed("make") || !await installed("gcc"),
  fn: async () => {
    await using mount = await create();
    await mount.sh(
      "mkdir p && cd p && for i in 1 2 3; do printf 'int f%d(void) { return %d; }\\n' $i $i > f$i.c; done && " +
        "printf 'int f1(void), f2(void), f3(void);\\n#include <stdio.h>\\n" +
        'int main(void) { printf("%%d\\\\n", f1() + f2() + f3()); return 0; }\\n\' > main.c && ' +
        "printf 'program: main.o f1.o f2.o f3.o\\n\\tgcc -o $@ $^\\n' > Makefile && make -j2 -s",
      { timeoutMs: SLOW_MS },
    );
    assert.equal(await mount.sh("p/program"), "6\n");
    await evict(mount);
    await remount(mount);
    assert.match(await mount.sh("make -C p"), /up to date/);
    await mount.sh("sed -i 's/return 2/return 20/' p/f2.c");
    const rebuilt = await mount.sh("make -C p", { timeoutMs: SLOW_MS });
    assert.match(rebuilt, /-o f2\.o/);
    assert.doesNotMatch(rebuilt, /-o f1\.o/);
    assert.equal(await mount.sh("p/program"), "24\n");
    await mount.unmount();
  },
});

/** A tree with links, holes, attributes and lists, below the directory `tree`. */
const TREE =
  "mkdir -p tree/deep/er && cd tree && seq 1 20000 > numbers && ln numbers deep/hard && " +
  "ln -s ../numbers deep/soft && mkfifo pipe && truncate -s 30M sparse && " +
  "printf middle | dd of=sparse bs=1 seek=15000000 conv=notrunc status=none && " +
  "head -c 9000000 /dev/urandom > large && chmod 6755 numbers && chown 61001:63001 large && " +
  "setfattr -n user.note -v value large && setfacl -m u:61002:rw,g:63001:r large && " +
  "setfacl -d -m u:61002:rwx deep && touch -d '1969-01-02 03:04:05.678901234' deep/er && cd ..";

Deno.test({
  name: "tar carries attributes, lists, links and holes in and out, from evicted files",
  ignore: !await installed("tar") || !await installed("setfacl") || !await installed("setfattr"),
  fn: async () => {
    await using mount = await create();
    await mount.sh(TREE);
    const describe = (directory: string) =>
      mount.sh(
        `cd ${directory}/tree && find . -printf '%p %y %m %U:%G %s %n %T@ %l\\n' | ` +
          `sed 's/^\\(.* [dp] [0-9]* [0-9:]*\\) [0-9]* [0-9]* /\\1 /' | sort && ` +
          "getfattr -R -d -m - . | sort && find . -type f | sort | xargs sha256sum",
      );
    const before = await describe(".");
    await evict(mount);
    await mount.sh("tar --xattrs --xattrs-include='*' --acls -S -cf archive.tar tree", {
      timeoutMs: SLOW_MS,
    });
    const size = Number(await mount.sh("stat -c %s archive.tar"));
    assert.ok(size > 9_000_000 && size < 25_000_000, `holes are not stored: ${size} bytes`);
    await mount.sh(
      "mkdir out && tar --xattrs --xattrs-include='*' --acls -S -xpf archive.tar -C out",
      { timeoutMs: SLOW_MS },
    );
    assert.equal(await describe("out"), before);
    await remount(mount);
    assert.equal(await describe("out"), before);
    await mount.unmount();
  },
});

Deno.test({
  name: "rsync -aHAX copies to and fro, and then finds nothing to do by checksum",
  ignore: !await installed("rsync") || !await installed("setfacl") || !await installed("setfattr"),
  fn: async () => {
    await using mount = await create();
    const local = `${mount.directory}/local`;
    const inLocal = (script: string) => run("sh", ["-ec", `cd "$0" && ${script}`, local]);
    await Deno.mkdir(local);
    assert.equal((await inLocal(TREE)).code, 0);
    await mount.sh(`rsync -aHAXS ${local}/tree .`, { timeoutMs: SLOW_MS });
    await evict(mount);
    const differences = (from: string, to: string) =>
      mount.sh(`rsync -aHAXSn --checksum --delete --itemize-changes ${from}/ ${to}/`, {
        timeoutMs: SLOW_MS,
      });
    assert.equal(await differences(`${local}/tree`, "tree"), "");
    await evict(mount);
    await mount.sh(`rsync -aHAXS tree/ ${local}/back/`, { timeoutMs: SLOW_MS });
    assert.equal(await differences(`${local}/tree`, `${local}/back`), "");
    await mount.unmount();
  },
});

for (const mode of ["wal", "delete"]) {
  Deno.test(`SQLite with journal_mode=${mode} keeps its database whole, evicted and remounted`, async () => {
    await using mount = await create();
    const load = (what: string) =>
      mount.sh(`/usr/bin/python3 -B ${database} ${what} db ${mode}`, { timeoutMs: SLOW_MS });
    await load("fill");
    const checked = await load("check");
    await evict(mount);
    assert.equal(await load("check"), checked);
    await load("change");
    const changed = await load("check");
    await remount(mount);
    assert.equal(await load("check"), changed);
    await mount.unmount();
  });
}

Deno.test({
  name: "PostgreSQL under load keeps its tables over a restart, evicted and remounted",
  ignore: !soak || !await installed("initdb") || !await installed("pgbench"),
  fn: async () => {
    await using mount = await create();
    await Deno.chmod(mount.directory, 0o755);
    await mount.sh(
      `mkdir -m 777 pg "${mount.directory}/socket" && chmod 777 "${mount.directory}/socket"`,
    );
    const postgres = (script: string) =>
      mount.sh(
        `cd pg && setpriv --reuid=nobody --regid=nogroup --clear-groups ` +
          `env HOME=/tmp PGHOST=${mount.directory}/socket PGDATABASE=postgres ` +
          `sh -ec ${JSON.stringify(script)}`,
        { timeoutMs: SLOW_MS },
      );
    // No port of this machine: others may use it.
    const start = () =>
      postgres(
        `pg_ctl -D data -w -t 120 -l log -o '-h \"\" -k ${mount.directory}/socket' start >/dev/null`,
      );
    const stop = () => postgres("pg_ctl -D data -w -t 120 -m fast stop >/dev/null");
    const sums = () =>
      postgres(
        "psql -XAtc 'SELECT (SELECT sum(abalance) FROM pgbench_accounts), " +
          "(SELECT sum(bbalance) FROM pgbench_branches), (SELECT count(*) > 0 FROM pgbench_history)'",
      );
    const checkSums = async () => {
      const [accounts, branches, history] = (await sums()).trim().split("|");
      assert.equal(accounts, branches);
      assert.equal(history, "t");
      return accounts;
    };
    await postgres("initdb -U nobody -D data -k >/dev/null");
    await start();
    try {
      await postgres("pgbench -i -q -s 2 2>/dev/null && pgbench -c 4 -T 10 >/dev/null 2>&1");
      const sum = await checkSums();
      await stop();
      await evict(mount);
      await start();
      assert.equal(await checkSums(), sum);
      await postgres("pgbench -c 4 -T 5 >/dev/null 2>&1");
      const later = await checkSums();
      await stop();
      await remount(mount);
      // Each page against the checksum in it.
      await postgres('"$(pg_config --bindir)"/pg_checksums --check -D data >/dev/null');
      await start();
      assert.equal(await checkSums(), later);
      await stop();
    } catch (error) {
      await stop().catch(() => {}); // It may be stopped already.
      throw error;
    }
    await mount.unmount();
  },
});

Deno.test({
  name: "npm installs by its lock file, evicted and remounted",
  ignore: !soak || !await installed("npm"),
  fn: async () => {
    await using mount = await create();
    const npm = (script: string) =>
      mount.sh(`cd app && ${script}`, { timeoutMs: SLOW_MS, env: { HOME: mount.directory } });
    await mount.sh(
      "mkdir -p lib/deep app && " +
        `echo '{"name":"lib","version":"1.0.0","bin":{"lib":"run.js"}}' > lib/package.json && ` +
        "printf '#!/usr/bin/env node\\nconsole.log(require(\"./index.js\"))\\n' > lib/run.js && " +
        'for i in $(seq 300); do echo "module.exports = $i" > lib/deep/$i.js; done && ' +
        "echo 'module.exports = 42 + require(\"./deep/8.js\")' > lib/index.js",
    );
    await npm("npm init -y >/dev/null && npm install --offline --install-links ../lib");
    await npm("rm -rf node_modules && npm ci --offline --install-links");
    const run = () => npm("node -e 'console.log(require(\"lib\"))' && node_modules/.bin/lib");
    assert.equal(await run(), "50\n50\n");
    await evict(mount);
    assert.equal(await run(), "50\n50\n");
    await remount(mount);
    await npm("npm ci --offline --install-links");
    assert.equal(await run(), "50\n50\n");
    await mount.unmount();
  },
});
