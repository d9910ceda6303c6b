/**
 * The policy where nobody has written one: the same language, so that there is one way to decide. What
 * was used least, and least recently, leaves first; disk and upload are as the configuration says.
 */
import { invariant } from "../domain/errors.ts";
import { loadPolicy } from "../policy/load.ts";
import type { Policy } from "../policy/model.ts";

export const BUILT_IN_POLICY_FILE = "built-in policy";
export const BUILT_IN_POLICY_TEXT = `version: 1
rules:
  - { name: anything, match: {}, evict: allow }
`;

export function builtInPolicy(): Policy {
  const options = { file: BUILT_IN_POLICY_FILE, now: 0 };
  const { policy } = loadPolicy(BUILT_IN_POLICY_TEXT, options);
  invariant(policy !== undefined, "the built-in policy is valid");
  return policy;
}
