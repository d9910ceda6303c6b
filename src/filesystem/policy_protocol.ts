/**
 * The part of the conversation (protocol.ts) that lets a policy decide: facts of files, the classes
 * into which the engine sorts them, pins. The filesystem isolate knows no policy: it keeps what it is
 * told, forgets it when a file changes, and re-checks whatever is asked of it. Plain data only.
 */
import type { FactNeeds, FactsRow } from "../metadata/facts_table.ts";
import type { ClassTally, QueuePlace, SortedFile, SortPlace } from "../metadata/usage_table.ts";

/** What opening a file means for programs whose name matches. Plain data: regular expressions as text. */
export interface ReaderRule {
  /** Sources of regular expressions without flags; one has to match the whole name of the program. */
  names: string[];
  recall: "allow" | "deny" | "stream";
  /** Whether reading is a use. */
  counts: boolean;
}

/** A file that leaves whole: nothing has happened to it, nor to a directory above, since it was sorted. */
export interface SettledFile {
  inode: number;
  stamp: number;
  epoch: number;
  frees: number;
  /** Number of the rule that decided, from 1; 0: none did. */
  settled: number;
}

/** Commands: name → [arguments, result]. */
export interface PolicyCommands {
  /**
   * Files that changed, or whose time has come, and that are to be sorted: the next page of a walk,
   * which may be empty, and where to go on. Each `next` is beyond the one before (`SortPlace`).
   */
  unsorted: [
    { limit: number; after?: SortPlace; needs: FactNeeds },
    { facts: FactsRow[]; next: SortPlace | undefined },
  ];
  /** Puts files in their classes; those that changed since their facts were taken stay unsorted. */
  sort: [{ files: SortedFile[] }, void];
  /**
   * Files of a queue in the order of their ranks, at most `limit`: those that the policy of this name
   * has settled as they were sorted, and the others, at most `facts` of them, with their facts as they
   * are now.
   */
  queue: [
    {
      queue: "first" | "ranked" | "held";
      limit: number;
      facts: number;
      after?: QueuePlace;
      needs: FactNeeds;
      policy: string;
    },
    { files: (FactsRow | SettledFile)[]; next: QueuePlace | undefined },
  ];
  /** Facts of these files; undefined where one is gone. */
  facts: [{ inodes: number[]; needs: FactNeeds }, (FactsRow | undefined)[]];
  /** Facts of open files that have confirmed bytes here, at most 10,000. */
  openFacts: [{ needs: FactNeeds }, FactsRow[]];
  /** Dirty files that stay out of the bucket (class local). */
  keep: [{ inodes: number[] }, void];
  /**
   * Another policy is in force, named by a text: every file is to be sorted again, none is kept. Answers
   * when that is so. Nothing happens where all was sorted by the same one.
   */
  reclassify: [{ policy: string }, void];
  /**
   * The text of the policy file in force, for the copy that is shipped. False: it is too long for one.
   * A mount that may not write keeps none.
   */
  keepPolicy: [{ text: string }, boolean];
  tally: [Record<string, never>, ClassTally[]];
  /** The user's veto, on a file or on all below a directory, for ever or until a time. */
  pin: [{ inode: number; pinned: boolean; untilMs?: number }, void];
}
