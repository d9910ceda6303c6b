/**
 * The expected ways to fail. Anything else that is thrown is a defect.
 *
 * `FsError` carries the errno that a program on the mount sees; `UserError` is for the command line
 * and configuration: what is wrong, with the value, and the way out; `StoreError` (what a bucket
 * answered) stands in `src/object_store/object_store.ts`.
 */
import { errnoName } from "./errno.ts";

/** A file system call that fails with `errno`, as Linux would. Not a defect, so it has no stack worth logging. */
export class FsError extends Error {
  override readonly name = "FsError";
  constructor(readonly errno: number, detail?: string) {
    super(detail === undefined ? errnoName(errno) : `${errnoName(errno)}: ${detail}`);
  }
}

/** Exit codes of every `zero` command; documented in the README. */
export const ExitCode = {
  ok: 0,
  /** The command failed; the message says why. */
  failure: 1,
  /** The command line, configuration or policy is wrong. Nothing was done. */
  usage: 2,
  /** Refused, because it would endanger data (foreign bucket, second mount, full prefix and empty cache …). */
  refused: 3,
  /** The store could not be reached or refused us. */
  store: 4,
  /** Done, but something is not yet safe in the bucket. */
  unsafe: 5,
  /** The passphrase or the recovery key is not that of the file system. */
  wrongKey: 6,
  /** `policy check`: a plan exists. */
  plan: 10,
  /** `policy check`: the plan cannot reach the mark. */
  unmet: 20,
} as const;

/** An error that the user can do something about. One line, and a hint that says what. Never holds a secret. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly hint: string | undefined;
  readonly exitCode: number;
  constructor(
    message: string,
    options: { hint?: string; exitCode?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? ExitCode.failure;
  }
}

/** A broken invariant: a defect in Zero. On in production; a mount that meets one goes read-only and says so. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Throws InvariantError where `condition` is false. `what` states the invariant, with the values. */
export function invariant(condition: boolean, what: string | (() => string)): asserts condition {
  if (!condition) throw new InvariantError(typeof what === "string" ? what : what());
}

/** For the end of a `switch` over a union: fails to compile where a case is missing. */
export function unreachable(value: never): never {
  throw new InvariantError(`no case for ${JSON.stringify(value)}`);
}
