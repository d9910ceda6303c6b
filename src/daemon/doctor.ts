/**
 * Looks at everything that a mount needs, one thing at a time, and says what to do where it is not
 * there. Puts one small object below `doctor/`, and removes it. Changes nothing else.
 */
import { errnoName } from "../domain/errno.ts";
import { UserError } from "../domain/errors.ts";
import { formatBytes, formatDuration, MiB } from "../domain/units.ts";
import { DESCRIPTOR_KEY, PROBE_PREFIX, probeKey } from "../format/keys.ts";
import { type ObjectStore, StoreError } from "../object_store/object_store.ts";
import * as libc from "../runtime/libc.ts";
import { hex, systemRandom } from "../runtime/random.ts";
import type { Credentials } from "./credentials.ts";
import { storeHint } from "./identity.ts";
import { openStore } from "./open_store.ts";

export interface Diagnosis {
  what: string;
  /** warn: works, but not everything. */
  state: "ok" | "warn" | "fail";
  detail: string;
  /** What to do. */
  hint: string | undefined;
}

export interface DoctorRequest {
  store: string | undefined;
  cache: string | undefined;
  credentials: Credentials | undefined;
}

const STORE_CALL_MS = 20_000;
const SKEW_WARN_MS = 60_000;
const SKEW_FAIL_MS = 15 * 60_000;
const DISK_WARN_BYTES = 512 * MiB;

type Tell = (
  what: string,
  state: Diagnosis["state"],
  detail: string,
  hint?: string,
) => void;

/** Everything that was found, in the order of looking. Never rejects for what it is to find out. */
export async function examine(request: DoctorRequest): Promise<Diagnosis[]> {
  const found: Diagnosis[] = [];
  const tell: Tell = (what, state, detail, hint) => found.push({ what, state, detail, hint });
  fuseDevice(tell);
  fuseHelper(tell);
  kernel(tell);
  if (request.cache === undefined) {
    tell("cache", "warn", "no cache is configured", "--config, --store or --cache");
  } else cacheDirectory(request.cache, tell);
  if (request.store === undefined) {
    tell(
      "store",
      "fail",
      "no store is configured",
      "--store URL, or 'store:' in the configuration",
    );
  } else await bucket(request.store, request.credentials, tell);
  return found;
}

function fuseDevice(tell: Tell): void {
  const fd = libc.open("/dev/fuse", libc.O.RDWR);
  if (fd >= 0) {
    libc.close(fd);
    return tell("/dev/fuse", "ok", "can be opened");
  }
  tell(
    "/dev/fuse",
    "fail",
    errnoName(-fd),
    "modprobe fuse; in a container, pass the device through (--device /dev/fuse)",
  );
}

function fuseHelper(tell: Tell): void {
  const path = `${Deno.env.get("PATH") ?? ""}:/usr/bin:/bin`;
  const helper = path.split(":").map((folder) => `${folder}/fusermount3`)
    .find((file) => typeof libc.stat(file) !== "number");
  if (Deno.uid() === 0) tell("mounting", "ok", "as root, without help");
  else if (helper !== undefined) tell("mounting", "ok", `with ${helper}`);
  else tell("mounting", "fail", "fusermount3 is not there", "install the package fuse3");
  let allowOther = false;
  try {
    allowOther = /^\s*user_allow_other\b/m.test(Deno.readTextFileSync("/etc/fuse.conf"));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (allowOther || Deno.uid() === 0) tell("other users", "ok", "may be let in");
  else {
    tell(
      "other users",
      "warn",
      "cannot be let into a mount of yours",
      "user_allow_other in /etc/fuse.conf, if they should",
    );
  }
}

function kernel(tell: Tell): void {
  const release = Deno.osRelease();
  const [major, minor] = release.split(".").map(Number);
  const passthrough = major > 6 || (major === 6 && minor >= 9);
  if (!passthrough) {
    return tell("kernel", "warn", `${release}: no passthrough`, "Linux 6.9 or newer has it");
  }
  if (Deno.uid() !== 0) {
    return tell("kernel", "warn", `${release}: passthrough needs root`, "mount as root for it");
  }
  tell("kernel", "ok", `${release}: passthrough is possible`);
}

function cacheDirectory(cache: string, tell: Tell): void {
  const status = libc.stat(cache);
  let existing = cache;
  if (typeof status === "number") {
    while (existing !== "/" && typeof libc.stat(existing) === "number") {
      existing = existing.replace(/\/[^/]*$/, "") || "/";
    }
    tell("cache", "ok", `${cache} will be made`);
  } else if ((status.mode & 0o077) !== 0) {
    tell("cache", "fail", `others may enter ${cache}`, `chmod 700 '${cache}'`);
  } else if (status.uid !== Deno.uid()) {
    tell("cache", "fail", `${cache} belongs to user ${status.uid}`, "use a cache of your own");
  } else tell("cache", "ok", `${cache} is private`);
  const volume = libc.statvfs(existing);
  if (typeof volume === "number") {
    return tell("disk", "fail", errnoName(-volume), "is its disk mounted?");
  }
  const free = formatBytes(volume.availableBytes);
  if (volume.availableBytes >= DISK_WARN_BYTES) tell("disk", "ok", `${free} free for the cache`);
  else tell("disk", "warn", `${free} free for the cache`, "a larger disk, or less on this one");
}

/** Each right that a mount needs, on an object of its own. */
async function bucket(
  url: string,
  credentials: Credentials | undefined,
  tell: Tell,
): Promise<void> {
  let store: ObjectStore;
  try {
    store = openStore({ url, credentials, create: false });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return tell("store", "fail", error.message, error.hint);
  }
  try {
    const reached = await attempt("reach", tell, async (signal) => {
      try {
        await store.get(DESCRIPTOR_KEY, { signal });
        return "holds a file system of Zero";
      } catch (error) {
        if (error instanceof StoreError && error.kind === "missing") return "holds no file system";
        throw error;
      }
    });
    if (reached) await rights(store, tell);
  } finally {
    store.close();
  }
}

async function rights(store: ObjectStore, tell: Tell): Promise<void> {
  const key = probeKey(hex(systemRandom.bytes(16)));
  const body = systemRandom.bytes(256);
  let versionId: string | undefined;
  let storeMs: number | undefined;
  const put = await attempt("write", tell, async (signal) => {
    const answer = await store.put(key, body, { signal });
    ({ versionId, storeTimeMs: storeMs } = answer);
    return `a version ${versionId}`;
  });
  if (!put || versionId === undefined) return;
  const version = versionId;
  await attempt("look up by version", tell, async (signal) => {
    const { length, modifiedMs } = await store.head(key, { versionId: version, signal });
    storeMs ??= modifiedMs;
    if (length !== body.length) throw new StoreError("corrupt", `${length} bytes were found`);
    return `${length} bytes`;
  });
  await attempt("read a range", tell, async (signal) => {
    const range = { offset: 100, length: 50 };
    const bytes = await store.get(key, { versionId: version, range, signal });
    const same = bytes.every((byte, i) => byte === body[100 + i]);
    if (!same) throw new StoreError("corrupt", "other bytes came back than were written");
    return "the right bytes";
  });
  await attempt("list versions", tell, async (signal) => {
    for await (const each of store.listVersions(PROBE_PREFIX, { signal })) {
      if (each.key === key && each.versionId === version) return "the object is shown";
    }
    throw new StoreError("corrupt", "the object that was just written is not in the listing");
  });
  await attempt("delete by version", tell, async (signal) => {
    await store.delete(key, version, { signal });
    try {
      await store.head(key, { versionId: version, signal });
    } catch (error) {
      if (error instanceof StoreError && error.kind === "missing") return "it is gone";
      throw error;
    }
    throw new StoreError("corrupt", "the object is still there");
  });
  if (version === "null") {
    tell(
      "versions",
      "warn",
      "the bucket keeps no versions",
      "an object that somebody overwrites or deletes by hand is gone; switch versioning on",
    );
  } else {
    tell(
      "versions",
      "ok",
      "are kept; see that no lifecycle rule of the bucket deletes or hides files",
    );
  }
  clock(storeMs, tell);
}

function clock(storeMs: number | undefined, tell: Tell): void {
  if (storeMs === undefined) return;
  const skewMs = Math.abs(Date.now() - storeMs);
  const detail = `${formatDuration(skewMs)} apart from the store's`;
  if (skewMs < SKEW_WARN_MS) return tell("clock", "ok", detail);
  const hint = "set the clock, and keep it right with NTP; requests are refused beyond 15 minutes";
  tell("clock", skewMs < SKEW_FAIL_MS ? "warn" : "fail", detail, hint);
}

/** True where it worked. Answers what `action` says, or why it failed. */
async function attempt(
  what: string,
  tell: Tell,
  action: (signal: AbortSignal) => Promise<string>,
): Promise<boolean> {
  const signal = AbortSignal.timeout(STORE_CALL_MS);
  try {
    tell(`store: ${what}`, "ok", await action(signal));
    return true;
  } catch (error) {
    if (error instanceof StoreError) {
      const hint = error.kind === "denied"
        ? `the key needs the right to ${what} below the prefix`
        : storeHint(error);
      tell(`store: ${what}`, "fail", error.message, hint);
    } else if (error instanceof UserError) {
      tell(`store: ${what}`, "fail", error.message, error.hint);
    } else if (signal.aborted) {
      const seconds = STORE_CALL_MS / 1000;
      tell(`store: ${what}`, "fail", `no answer in ${seconds} s`, "check network and endpoint");
    } else throw error;
    return false;
  }
}
