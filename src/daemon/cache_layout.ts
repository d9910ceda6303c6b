/** What lies where in a cache directory. Names only. */
export interface CacheLayout {
  /** Locked (flock) by whoever serves the cache; holds that process's id and mount point. */
  lock: string;
  metadata: string;
  history: string;
  content: string;
  socket: string;
  ballast: string;
  /** Claims on the bucket that were not given back. */
  claims: string;
  /** Of an encrypted file system: what an offline mount needs to check a passphrase (`KeyFile`). */
  key: string;
  /** The policy in force, as commands read it. */
  policy: string;
  /** A copy of the policy that was in force when the bucket was recovered; nobody but people reads it. */
  recoveredPolicy: string;
  /** What was used when, in a ring. */
  trace: string;
  log: string;
}

export function cacheLayout(directory: string): CacheLayout {
  return {
    lock: `${directory}/lock`,
    metadata: `${directory}/metadata.db`,
    history: `${directory}/history.db`,
    content: `${directory}/content`,
    socket: `${directory}/control.sock`,
    ballast: `${directory}/ballast`,
    claims: `${directory}/lease.json`,
    key: `${directory}/key.json`,
    policy: `${directory}/policy.json`,
    recoveredPolicy: `${directory}/policy.recovered.yaml`,
    trace: `${directory}/access.trace`,
    log: `${directory}/zero.log`,
  };
}

/** How the source of Zero's mounts begins in /proc/self/mountinfo; the cache directory follows. */
export const MOUNT_SOURCE_PREFIX = "zero:";
export const MOUNT_TYPE = "fuse.zero";
