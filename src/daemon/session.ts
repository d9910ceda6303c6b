/**
 * The life of a daemon: start, serve, stop. Owns the process: its hardening, its signals, its exit code.
 * Whatever ends it, the mount is taken out of the tree, what is in memory is written, and the lock is
 * given back, within STOP_MS.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { Watchdog } from "../fuse/watchdog.ts";
import { systemClock } from "../runtime/clock.ts";
import * as libc from "../runtime/libc.ts";
import { forbidCoreDumps } from "../runtime/process_limits.ts";
import { readMountRequest, reportStart } from "./background.ts";
import { CacheDirectory, refuseNesting } from "./cache_directory.ts";
import { cacheLayout } from "./cache_layout.ts";
import { Ballast } from "./ballast.ts";
import { compose } from "./compose.ts";
import { composeFollower } from "./compose_follower.ts";
import { controlHandler } from "./control_commands.ts";
import type { UnsafeReport } from "./control_protocol.ts";
import { ControlServer, describeError } from "./control_server.ts";
import { LIMITS } from "./limits.ts";
import { LogFile } from "./log_file.ts";
import type { Mount } from "./mount.ts";
import type { MountRequest } from "./mount_request.ts";
import { prepareMountpoint } from "./mountpoint.ts";
import { storeDirectory } from "./open_store.ts";
import { VERSION } from "./version.ts";

/** Why a session ends, and whether that is an error. */
interface End {
  reason: string;
  exitCode: number;
}

/** A mount that serves, and the promise that says how it ended. */
interface Session {
  notes: string[];
  over: Promise<number>;
}

/** Secrets and content are in memory: nobody else may read it, and no dump is written. */
function hardenProcess(): void {
  libc.umask(0o077);
  forbidCoreDumps();
  libc.setDumpable(false);
  libc.raiseOpenFileLimit();
}

/** Starts everything, or throws UserError and leaves nothing behind. */
async function startSession(
  request: MountRequest,
  log: LogFile,
  cache: CacheDirectory,
): Promise<Session> {
  prepareMountpoint(request.mountpoint);
  const ballast = new Ballast(cache.layout.ballast);
  const { mount, notes } = request.readOnly
    ? await composeFollower(request, { cache, log })
    : await compose(request, { cache, log });
  const ending = Promise.withResolvers<End>();
  const unmountRequest = async (): Promise<UnsafeReport> => {
    mount.detach({ lazy: false });
    ending.resolve({ reason: "unmounted on request", exitCode: ExitCode.ok });
    await closed.promise;
    if (unsafe !== undefined) return unsafe;
    throw new UserError("it is unmounted, but what is not in the bucket yet cannot be counted", {
      hint: `see ${cache.layout.log}; \`zero fsck --cache ${cache.path}\` looks at the database`,
      exitCode: ExitCode.failure,
    });
  };
  const closed = Promise.withResolvers<void>();
  let unsafe: UnsafeReport | undefined;
  let control: ControlServer;
  try {
    ballast.restore();
    control = new ControlServer(cache.path, {
      name: "control.sock",
      handler: controlHandler(mount, unmountRequest),
      log: log.warn,
    });
  } catch (error) {
    mount.detach({ lazy: true });
    await mount.close("starting failed");
    throw error;
  }
  cache.announce(request.mountpoint);
  const stopWatching = watch(mount, ballast, ending.resolve);
  const over = ending.promise.then(async (end) => {
    log.info(`stopping: ${end.reason}`);
    const force = setTimeout(() => {
      log.error(`stopping took longer than ${LIMITS.STOP_MS} ms; leaving`);
      Deno.exit(ExitCode.failure);
    }, LIMITS.STOP_MS);
    stopWatching();
    try {
      mount.detach({ lazy: true });
    } catch (error) {
      log.warn(describeError(error).message);
    }
    await mount.close(end.reason);
    try {
      unsafe = mount.unsafeAfterwards();
    } catch (error) {
      log.error(`what is not safe cannot be counted: ${describeError(error).message}`);
      end = { ...end, exitCode: ExitCode.failure };
    }
    // Before the lock is given back: whoever holds it next puts a socket of his own there.
    libc.unlink(cache.layout.socket);
    cache.close();
    closed.resolve();
    await control.close(LIMITS.CONTROL_GRACE_MS);
    log.info(`ended: ${end.reason}`);
    clearTimeout(force);
    return end.exitCode;
  });
  return { notes, over };
}

/** Watches for everything that ends a session. Returns how to stop watching. */
function watch(mount: Mount, ballast: Ballast, end: (end: End) => void): () => void {
  const failure = (reason: string) => end({ reason, exitCode: ExitCode.failure });
  mount.filesystem.ended.then(({ how, error }) => {
    mount.noteFilesystemEnded();
    switch (how) {
      case "unmounted":
      case "stopped":
        mount.noteUnmounted();
        return error === undefined
          ? end({ reason: `the file system was ${how}`, exitCode: ExitCode.ok })
          : failure(`the file system was ${how}: ${error}`);
      case "aborted":
      case "crashed":
        return failure(`the filesystem isolate ${how}: ${error ?? "no reason given"}`);
    }
  });
  const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  const listeners = signals.map((signal) => {
    const listener = () => end({ reason: signal, exitCode: ExitCode.ok });
    Deno.addSignalListener(signal, listener);
    return () => Deno.removeSignalListener(signal, listener);
  });
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    mount.log.error(`defect: ${event.error?.stack ?? event.message}`);
    failure(`a defect: ${event.message}`);
  };
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    const { reason } = event;
    mount.log.error(`defect: ${reason instanceof Error ? reason.stack : reason}`);
    failure(`a defect: ${reason instanceof Error ? reason.message : reason}`);
  };
  globalThis.addEventListener("error", onError);
  globalThis.addEventListener("unhandledrejection", onRejection);
  const timer = setInterval(() => ballast.tend(), LIMITS.BALLAST_LOOK_MS);
  const watchdog = guardAgainstWedge(mount, failure);
  return () => {
    watchdog.stop();
    clearInterval(timer);
    // While it stops, another signal must not kill it half way.
    for (const signal of signals) Deno.addSignalListener(signal, () => {});
    for (const remove of listeners) remove();
  };
}

/**
 * A filesystem isolate that answers nobody would leave every program on the mount hanging for ever:
 * then the connection is aborted, programs get an error, and the process ends. The next mount recovers.
 */
function guardAgainstWedge(mount: Mount, failure: (reason: string) => void): Watchdog {
  const watchdog = new Watchdog({
    connection: mount.connection,
    clock: systemClock,
    deadlineMs: LIMITS.WEDGED_MS,
    ask: () => {
      // Where it has ended, whoever watches for that has the word.
      mount.filesystem.call("space", {}).then(() => watchdog.alive(), () => watchdog.alive());
    },
    onAborted: (ended) => {
      const silent = `the filesystem isolate was silent for ${LIMITS.WEDGED_MS / 1000} s`;
      failure(ended ? `${silent}; aborted` : `${silent}, and its connection cannot be aborted`);
    },
  });
  watchdog.start();
  return watchdog;
}

/** The cache, locked and checked against mount point and store, with its log. */
function openCache(request: MountRequest, echo: boolean): { cache: CacheDirectory; log: LogFile } {
  const { cache: path, mountpoint, store } = request;
  refuseNesting({ cache: path, mountpoint, store: storeDirectory(store) });
  const cache = CacheDirectory.open(path);
  return { cache, log: new LogFile(cacheLayout(path).log, { echo }) };
}

/** `zero mount --foreground`: serves in this process. Returns the exit code. */
export async function runInForeground(
  request: MountRequest,
  print: (text: string) => void,
): Promise<number> {
  hardenProcess();
  const { cache, log } = openCache(request, true);
  let session: Session;
  try {
    session = await startSession(request, log, cache);
  } catch (error) {
    cache.closeAfterFailure();
    throw error;
  }
  for (const note of session.notes) log.warn(note);
  print(`mounted ${request.store} at ${request.mountpoint} (process ${Deno.pid})`);
  Deno.chdir("/");
  // Workers and sockets that do not end by themselves must not keep the process.
  Deno.exit(await session.over);
}

/** The daemon behind `zero mount`: reports how starting went to its parent, then serves. */
export async function runDaemonChild(): Promise<number> {
  let log: LogFile | undefined;
  let cache: CacheDirectory | undefined;
  try {
    const request = await readMountRequest();
    hardenProcess();
    Deno.chdir("/");
    ({ cache, log } = openCache(request, false));
    log.info(`zero ${VERSION} starts, process ${Deno.pid}, mount point ${request.mountpoint}`);
    const session = await startSession(request, log, cache);
    for (const note of session.notes) log.warn(note);
    reportStart({ ready: { pid: Deno.pid, notes: session.notes } });
    // From here on nobody listens: whatever is still written, a crash's last words too, is logged.
    log.takeStandardStreams();
    Deno.exit(await session.over);
  } catch (error) {
    const described = describeError(error);
    log?.error(`not started: ${described.message}`);
    if (!(error instanceof UserError)) {
      log?.error(error instanceof Error ? error.stack ?? error.message : String(error));
    }
    cache?.closeAfterFailure();
    reportStart({ error: described });
    Deno.exit(described.exitCode);
  }
}
