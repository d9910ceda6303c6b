/** What a check of cache and bucket found. Plain data, and how it grows. */

export interface FsckFinding {
  check: string;
  /** The inode, chunk, pack or version that it is about. */
  id: number | undefined;
  /** A path of it, for people. */
  path: string | undefined;
  what: string;
}

export interface FsckCheck {
  name: string;
  /** What holds, for people. */
  title: string;
  result: "ok" | "problems" | "skipped";
  problems: number;
  /** Why it was skipped. */
  why: string | undefined;
}

export interface FsckReport {
  cache: string;
  mounted: boolean;
  checks: FsckCheck[];
  /** At most FINDINGS_NAMED of each check; `problems` counts all. */
  findings: FsckFinding[];
  problems: number;
  /** Nothing wrong, but good to know. */
  notices: string[];
  repaired: string[];
  /** Problems that are left after a repair; undefined where none was asked for. */
  left: number | undefined;
  counts: { inodes: number; chunks: number; packs: number; contentFiles: number };
  /** What was read back of the bucket, and of the local disk. */
  deep: DeepReport | undefined;
  local: LocalReport | undefined;
}

export interface DeepReport {
  packs: number;
  chunks: number;
  bytes: number;
  damaged: number;
}

export interface LocalReport {
  files: number;
  chunks: number;
  bytes: number;
  /** Chunks. */
  wrong: number;
}

export const FINDINGS_NAMED = 100;

export class ReportBuilder {
  readonly report: FsckReport;
  /** Ids with a fault, by check, at most REMEMBERED each. */
  readonly faulty = new Map<string, Set<number>>();

  constructor(options: { cache: string; mounted: boolean }) {
    this.report = {
      ...options,
      checks: [],
      findings: [],
      problems: 0,
      notices: [],
      repaired: [],
      left: undefined,
      counts: { inodes: 0, chunks: 0, packs: 0, contentFiles: 0 },
      deep: undefined,
      local: undefined,
    };
  }

  begin(name: string, title: string): FsckCheck {
    const check: FsckCheck = { name, title, result: "ok", problems: 0, why: undefined };
    this.report.checks.push(check);
    return check;
  }

  skip(name: string, title: string, why: string): void {
    Object.assign(this.begin(name, title), { result: "skipped", why });
  }

  problem(check: FsckCheck, fault: { id?: number; path?: string; what: string }): void {
    check.result = "problems";
    check.problems++;
    this.report.problems++;
    if (fault.id !== undefined) {
      let ids = this.faulty.get(check.name);
      if (ids === undefined) this.faulty.set(check.name, ids = new Set());
      if (ids.size < REMEMBERED) ids.add(fault.id);
    }
    if (check.problems > FINDINGS_NAMED) return;
    const { id, path, what } = fault;
    this.report.findings.push({ check: check.name, id, path, what });
  }
}

const REMEMBERED = 100_000;
