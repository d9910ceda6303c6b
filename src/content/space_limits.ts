/** The marks that bound local space, in bytes. */
export interface FilesystemSpaceLimits {
  target: number;
  /** Eviction starts above it. */
  high: number;
  /** … and stops below it. */
  low: number;
  /** Writers wait above it. */
  hard: number;
  /** Of the cache's disk, left to others. */
  minFree: number;
}
