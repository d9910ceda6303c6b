/** What a check answers, for the command line. */
export type { FsckReport } from "../tiering/fsck_report.ts";
