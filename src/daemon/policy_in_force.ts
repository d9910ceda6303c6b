/**
 * The policy of a running mount: watches its file, puts a changed one in force, keeps the previous one
 * where the new one is wrong, and says so. Owns the note in the cache (`policy.json`) from which
 * commands read what is in force, even while the daemon answers nobody.
 */
import { UserError } from "../domain/errors.ts";
import type { FilesystemPort } from "../filesystem/port.ts";
import type { FilesystemSettings } from "../filesystem/protocol.ts";
import type { Prices } from "../policy/money.ts";
import { readAccountNames } from "../tiering/account_names.ts";
import { ActivePolicy } from "../tiering/active_policy.ts";
import type { Engine } from "../tiering/engine.ts";
import type { CacheDirectory } from "./cache_directory.ts";
import {
  engineSettings,
  filesystemSettings,
  type LoadedPolicy,
  loadPolicyFile,
  withPolicy,
} from "./effective_policy.ts";
import { LIMITS } from "./limits.ts";
import type { LogFile } from "./log_file.ts";
import type { MountRequest } from "./mount_request.ts";
import { pricesOf } from "./prices.ts";
import type { ResolvedSettings } from "./resolve_settings.ts";

/** What `policy.json` holds. */
export interface PolicyNote {
  /** For people; the built-in policy has no path. */
  file: string;
  text: string;
  /** Bytes. */
  marks: { target: number; high: number; low: number; hard: number; minFree: number };
  /** Milliseconds. */
  upload: { afterMs: number; deadlineMs: number };
  /** As the configuration has them. */
  prices?: Prices;
}

export interface PolicyReport {
  file: string;
  /** When it came into force, wall clock, milliseconds. */
  sinceMs: number;
  /** Why the file as it is now is not in force; undefined while it is. */
  trouble: string | undefined;
  rules: number;
}

interface WatchParts {
  filesystem: FilesystemPort;
  engine: Engine;
  setUploadRate: (bytesPerSecond: number | undefined) => void;
}

export class PolicyInForce {
  readonly #request: MountRequest;
  readonly #cache: CacheDirectory;
  readonly #log: LogFile;
  #loaded: LoadedPolicy;
  #filesystem: FilesystemSettings;
  #restraint: Partial<FilesystemSettings> = {};
  #sinceMs = Date.now();
  #trouble: string | undefined;
  #looks: string | undefined;

  /** Reads the policy. Throws UserError where it is wrong. */
  constructor(request: MountRequest, { cache, log }: { cache: CacheDirectory; log: LogFile }) {
    this.#request = request;
    this.#cache = cache;
    this.#log = log;
    const path = request.values.policy;
    if (path !== undefined && `${path}/`.startsWith(`${request.mountpoint}/`)) {
      throw new UserError(`the policy ${path} lies on the mount that it is for`, {
        hint: "keep it elsewhere: the daemon never reads its own mount",
        exitCode: 2,
      });
    }
    this.#looks = this.#look();
    this.#loaded = loadPolicyFile(path);
    this.#filesystem = this.#settle(this.#loaded);
  }

  #settle(loaded: LoadedPolicy): FilesystemSettings {
    const { values } = withPolicy(this.#request, loaded);
    return filesystemSettings(values, { policy: loaded.policy, cache: this.#cache.path });
  }

  /** As of now: what a timetable says changes. */
  get effective(): Pick<ResolvedSettings, "values" | "origins"> {
    return withPolicy(this.#request, this.#loaded);
  }
  /** Uploads at most so many bytes a second now; undefined: without bound; 0: none of their own accord. */
  get uploadRate(): number | undefined {
    return this.effective.values["upload.bandwidth"];
  }
  get filesystemSettings(): FilesystemSettings {
    return { ...this.#filesystem, ...this.#restraint };
  }
  /** Settings that hold whatever the policy says, now and after it has changed. */
  restrain(settings: Partial<FilesystemSettings>): void {
    this.#restraint = settings;
  }
  get engineSettings() {
    return engineSettings(this.effective.values);
  }
  get active(): ActivePolicy {
    return new ActivePolicy(this.#loaded.policy, { accounts: readAccountNames() });
  }
  get report(): PolicyReport {
    const { file, policy } = this.#loaded;
    const rules = policy.rules.length;
    return { file, rules, sinceMs: this.#sinceMs, trouble: this.#trouble };
  }

  /** Leaves the note for commands. */
  announce(): void {
    const { target, high, low, hard, minFree } = this.filesystemSettings;
    const { uploadAfterMs, uploadDeadlineMs } = this.engineSettings;
    const note: PolicyNote = {
      file: this.#loaded.file,
      text: this.#loaded.text,
      marks: { target, high, low, hard, minFree },
      upload: { afterMs: uploadAfterMs, deadlineMs: uploadDeadlineMs },
      prices: pricesOf(this.#request.values),
    };
    const path = this.#cache.layout.policy;
    Deno.writeTextFileSync(`${path}.new`, JSON.stringify(note), { mode: 0o600 });
    Deno.renameSync(`${path}.new`, path);
  }

  /**
   * Gives the metadata a copy of the policy's file. Where there is no file, the copy of the last one
   * stays: whoever recovers decides. Never rejects; a copy that fails is made with the next mount.
   */
  async ship(filesystem: FilesystemPort): Promise<void> {
    if (this.#request.values.policy === undefined) return;
    const { file, text } = this.#loaded;
    try {
      if (await filesystem.call("keepPolicy", { text })) return;
      this.#log.warn(`policy ${file}: it is too long for a copy in the bucket (64 KiB)`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#log.warn(`policy ${file}: the bucket gets no copy of it now: ${why}`);
    }
  }

  /** What tells one state of the file from another; undefined: it cannot be looked at. */
  #look(): string | undefined {
    const path = this.#request.values.policy;
    if (path === undefined) return undefined;
    try {
      const { mtime, size, ino } = Deno.statSync(path);
      return `${mtime?.getTime()} ${size} ${ino}`;
    } catch (error) {
      return String(error);
    }
  }

  /** Watches the file from now on. Returns how to stop. */
  watch(parts: WatchParts): () => void {
    if (this.#request.values.policy === undefined) return () => {};
    let busy = false;
    let rate: number | undefined;
    const pace = () => {
      if (this.uploadRate === rate) return;
      rate = this.uploadRate;
      parts.setUploadRate(rate === 0 ? undefined : rate);
      if (rate === 0) parts.engine.pauseUploads();
      else parts.engine.resumeUploads();
    };
    pace();
    const timer = setInterval(async () => {
      pace();
      const looks = this.#look();
      if (busy || looks === this.#looks) return;
      busy = true;
      this.#looks = looks;
      await this.#reload(parts);
      busy = false;
    }, LIMITS.POLICY_LOOK_MS);
    return () => clearInterval(timer);
  }

  async #reload({ filesystem, engine }: WatchParts): Promise<void> {
    const path = this.#request.values.policy;
    try {
      const loaded = loadPolicyFile(path);
      const settled = this.#settle(loaded);
      await filesystem.call("configure", { ...settled, ...this.#restraint });
      this.#loaded = loaded;
      this.#filesystem = settled;
      this.#sinceMs = Date.now();
      this.#trouble = undefined;
      engine.configure(this.engineSettings, this.active);
      this.announce();
      await this.ship(filesystem);
      this.#log.info(`policy ${loaded.file}: changed, and in force`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#trouble = why;
      this.#log.warn(`policy ${path}: the previous one stays in force: ${why}`);
    }
  }
}
