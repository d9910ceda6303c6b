/**
 * Who opens a file decides what reading it means: matches the name of the program, as the kernel knows
 * it, against the rules that the engine passed. Looks at /proc only where there are rules, or where a
 * recall is about to be made anyway. Decides once per handle.
 */
import type { ReaderRule } from "./policy_protocol.ts";
import type { ProcessIdentity } from "./scanners.ts";

/** How a handle is treated. */
export interface Treatment {
  /** Name of the program that opened it. */
  program: string;
  recall: ReaderRule["recall"];
  /** Whether reading is a use. */
  counts: boolean;
  /** A rule names the program: it is treated as that says, whatever it does. */
  named: boolean;
}

export class ReaderRules {
  #rules: { names: RegExp[]; rule: ReaderRule }[] = [];
  #configured: readonly ReaderRule[] | undefined;

  configure(rules: readonly ReaderRule[] | undefined): void {
    if (rules === this.#configured) return;
    this.#configured = rules;
    this.#rules = (rules ?? []).map((rule) => ({
      rule,
      names: rule.names.map((source) => new RegExp(source)),
    }));
  }

  /** For whoever opens a file now, by the thread's id; undefined: there are no rules. */
  treat(tid: number): Treatment | undefined {
    if (this.#rules.length === 0) return undefined;
    const program = programOf(tid);
    const found = this.#rules.find(({ names }) => names.some((name) => name.test(program)));
    const { recall, counts } = found?.rule ?? { recall: "allow" as const, counts: true };
    return { program, recall, counts, named: found !== undefined };
  }
}

/** Which process a thread belongs to; undefined where that cannot be seen (any more). */
export function identifyProcess(tid: number): ProcessIdentity | undefined {
  try {
    const status = Deno.readTextFileSync(`/proc/${tid}/status`);
    const pid = Number(/^Tgid:\s*(\d+)/m.exec(status)?.[1] ?? tid);
    // Behind the name, which may hold anything; the 22nd field is when it started.
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const end = stat.lastIndexOf(")");
    const program = stat.slice(stat.indexOf("(") + 1, end);
    return { key: `${pid} ${stat.slice(end + 2).split(" ")[19]}`, pid, program };
  } catch (error) {
    // It has ended meanwhile, or is in a namespace that we do not see.
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/** The name of a thread's program: that of its thread group. Empty where it has ended or is the kernel's. */
export function programOf(tid: number): string {
  if (tid <= 0) return "";
  try {
    const status = Deno.readTextFileSync(`/proc/${tid}/status`);
    const group = /^Tgid:\s*(\d+)/m.exec(status)?.[1] ?? String(tid);
    return Deno.readTextFileSync(`/proc/${group}/comm`).replace(/\n$/, "");
  } catch (error) {
    // It has ended meanwhile, or is in a namespace that we do not see.
    if (error instanceof Error) return "";
    throw error;
  }
}
