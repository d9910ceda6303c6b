import assert from "node:assert/strict";
import { UserError } from "../../src/domain/errors.ts";
import { ControlServer, shortSocketPath } from "../../src/daemon/control_server.ts";
import { callDaemon } from "../../src/cli/control_client.ts";
import { CacheDirectory, isServed } from "../../src/daemon/cache_directory.ts";
import { LogFile } from "../../src/daemon/log_file.ts";

const mountOf = (cache: string) => ({ mountpoint: new TextEncoder().encode("/m"), cache });

/** A temporary directory, long enough that its socket does not fit an address. */
async function longDirectory(): Promise<{ path: string } & AsyncDisposable> {
  const base = await Deno.makeTempDir({ prefix: "zero-control-" });
  const path = `${base}/${"d".repeat(120)}`;
  await Deno.mkdir(path, { mode: 0o700 });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(base, { recursive: true }) };
}

Deno.test("a request is answered with progress and a result, in a directory of any length", async () => {
  await using directory = await longDirectory();
  const server = new ControlServer(directory.path, {
    name: "control.sock",
    handler: async (request, { progress }) => {
      await progress({ kind: "count", done: 1, all: 2 });
      return { asked: request.command };
    },
    log: () => {},
  });
  try {
    const seen: unknown[] = [];
    const request = { command: "status" } as const;
    const result = await callDaemon(mountOf(directory.path), request, (p) => seen.push(p));
    assert.deepEqual(result, { asked: "status" });
    assert.deepEqual(seen, [{ kind: "count", done: 1, all: 2 }]);
    assert.equal((await Deno.stat(`${directory.path}/control.sock`)).mode! & 0o777, 0o600);
  } finally {
    await server.close(1000);
  }
});

Deno.test("an error arrives with its hint and exit code", async () => {
  await using directory = await longDirectory();
  const server = new ControlServer(directory.path, {
    name: "control.sock",
    handler: () => Promise.reject(new UserError("no", { hint: "do this", exitCode: 4 })),
    log: () => {},
  });
  try {
    await assert.rejects(callDaemon(mountOf(directory.path), { command: "sync" }), (error) => {
      assert.ok(error instanceof UserError);
      assert.deepEqual([error.message, error.hint, error.exitCode], ["no", "do this", 4]);
      return true;
    });
  } finally {
    await server.close(1000);
  }
});

Deno.test("a client that takes nothing, asks nothing or goes away holds up nobody else", async () => {
  await using directory = await longDirectory();
  const gone = Promise.withResolvers<void>();
  const server = new ControlServer(directory.path, {
    name: "control.sock",
    handler: async (request, { progress, signal }) => {
      if (request.command === "status") return "here";
      signal.addEventListener("abort", () => gone.resolve());
      const entry = { path: "x".repeat(100_000) } as never;
      while (!signal.aborted) await progress({ kind: "entry", entry });
      return undefined;
    },
    log: () => {},
  });
  const address = shortSocketPath(directory.path, "control.sock");
  const silent = await Deno.connect({ transport: "unix", path: address.path });
  const deaf = await Deno.connect({ transport: "unix", path: address.path });
  try {
    await deaf.write(new TextEncoder().encode('{"command":"list","path":[],"recursive":true}\n'));
    assert.equal(await callDaemon(mountOf(directory.path), { command: "status" }), "here");
    deaf.close();
    await gone.promise;
    assert.equal(await callDaemon(mountOf(directory.path), { command: "status" }), "here");
  } finally {
    silent.close();
    address.close();
    await server.close(1000);
  }
});

Deno.test("what is no request is answered with an error, and too much with the end", async () => {
  await using directory = await longDirectory();
  const server = new ControlServer(directory.path, {
    name: "control.sock",
    handler: () => Promise.resolve(1),
    log: () => {},
  });
  const address = shortSocketPath(directory.path, "control.sock");
  try {
    using connection = await Deno.connect({ transport: "unix", path: address.path });
    await connection.write(new TextEncoder().encode("not json\n"));
    const answer = new TextDecoder().decode(
      (await new Response(connection.readable).arrayBuffer()).slice(0),
    );
    assert.match(answer, /^\{"error":/);
  } finally {
    address.close();
    await server.close(1000);
  }
});

Deno.test("a cache is private, ours, and served by one", async () => {
  await using directory = await longDirectory();
  const path = `${directory.path}/cache`;
  const cache = CacheDirectory.open(path);
  assert.equal((await Deno.stat(path)).mode! & 0o777, 0o700);
  cache.announce("/mount/point");
  assert.equal(isServed(path), true);
  assert.throws(
    () => CacheDirectory.open(path),
    new RegExp(`in use by process ${Deno.pid}, mounted at /mount/point`),
  );
  cache.close();
  assert.equal(isServed(path), false);
  await Deno.chmod(path, 0o770);
  assert.throws(() => CacheDirectory.open(path), /others may write to the cache directory/);
  await Deno.chmod(path, 0o700);
  await Deno.symlink(path, `${path}-link`);
  assert.throws(() => CacheDirectory.open(`${path}-link`), /is a symbolic link/);
  await Deno.writeTextFile(`${path}-file`, "");
  assert.throws(() => CacheDirectory.open(`${path}-file`), /is not a directory/);
});

Deno.test("a cache that was made for a start that failed is removed again; another is kept", async () => {
  await using directory = await longDirectory();
  const made = CacheDirectory.open(`${directory.path}/made`);
  made.closeAfterFailure();
  await assert.rejects(Deno.stat(`${directory.path}/made`), Deno.errors.NotFound);
  await Deno.mkdir(`${directory.path}/found`, { mode: 0o700 });
  CacheDirectory.open(`${directory.path}/found`).closeAfterFailure();
  assert.ok((await Deno.stat(`${directory.path}/found`)).isDirectory);
});

Deno.test("the log is private, keeps its lines, and does not grow without bound", async () => {
  await using directory = await longDirectory();
  const path = `${directory.path}/zero.log`;
  const log = new LogFile(path, { echo: false });
  const line = "x".repeat(100_000);
  for (let i = 0; i < 250; i++) log.info(line);
  log.error("last\nof two lines");
  log.close();
  assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  assert.match(await Deno.readTextFile(path), / error last\n {2}of two lines\n$/);
  const names = [...Deno.readDirSync(directory.path)].map((entry) => entry.name).sort();
  assert.deepEqual(names, ["zero.log", "zero.log.1", "zero.log.2"]);
});
