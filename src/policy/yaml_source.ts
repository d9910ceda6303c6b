/**
 * YAML text as plain values whose places are known. Every mistake in the YAML is a problem with a
 * hint; what YAML allows and a policy has no use for (tags, anchors that repeat without end) is
 * refused. Knows no key of a policy.
 */
import { isAlias, isMap, isNode, isScalar, isSeq, parseDocument, visit } from "yaml";
import type { Document, Node, Pair, YAMLError } from "yaml";
import type { Place } from "./model.ts";
import { type Problem, SourceText } from "./problems.ts";

type PathKeys = readonly PropertyKey[];

export interface Spot {
  line: number;
  column: number;
  length: number;
}

/** Larger texts are not policies. */
const LONGEST_TEXT = 4 * 1024 * 1024;

export class YamlSource {
  readonly text: SourceText;
  /** Plain values; undefined where the YAML itself is wrong. */
  readonly value: unknown;
  readonly problems: Problem[] = [];
  readonly #document: Document | undefined;

  constructor(text: string, file: string) {
    this.text = new SourceText(file, text);
    if (text.length > LONGEST_TEXT) {
      this.#report("too-large", { line: 1, column: 1, length: 1 }, {
        message: "this file is too large for a policy",
        hint: "a policy is at most 4 MiB of text",
      });
      return;
    }
    const document = parseDocument(text, {
      prettyErrors: false,
      logLevel: "error",
      stringKeys: false,
    });
    this.#document = document;
    for (const error of [...document.errors, ...document.warnings]) this.#yamlProblem(error, text);
    if (this.problems.length === 0) this.#checkAliases(document);
    if (this.problems.length > 0) return;
    try {
      this.value = document.toJS({ maxAliasCount: 100 });
    } catch (error) {
      // The library refuses aliases that multiply only here, and by throwing.
      const message = error instanceof Error ? error.message : String(error);
      this.#report("yaml", { line: 1, column: 1, length: 1 }, {
        message: `aliases (*name) cannot be resolved: ${message}`,
        hint: "write each value out",
      });
    }
  }

  #checkAliases(document: Document): void {
    visit(document, {
      Alias: (_key, alias, ancestors) => {
        const target = alias.resolve(document);
        if (target !== undefined && !ancestors.includes(target)) return;
        const spot = this.#spotOf(alias) ?? { line: 1, column: 1, length: 1 };
        this.#report("yaml", { ...spot, length: alias.source.length + 1 }, {
          message: target === undefined
            ? `'*${alias.source}' repeats something that was never named '&${alias.source}'`
            : `'*${alias.source}' stands inside what it repeats`,
          hint: target === undefined ? `a glob needs quotes: '*${alias.source}'` : "write it out",
        });
      },
    });
  }

  #report(code: string, spot: Spot, about: { message: string; hint?: string }): void {
    this.problems.push(this.text.problem({ code, ...spot, ...about }));
  }

  #yamlProblem(error: YAMLError, text: string): void {
    const [from, to] = error.pos;
    // The library points at the end of the text for what was never closed; show its last character.
    const at = Math.min(from, Math.max(0, text.trimEnd().length));
    const { message, hint } = explainYaml(error, text.slice(at, at + 40));
    this.#report("yaml", this.#spot(at, Math.max(1, to - from)), { message, hint });
  }

  #spot(offset: number, length: number): Spot {
    // Not the library's own counting of lines, which misses some within what it cannot read.
    return { ...this.text.locate(offset), length };
  }

  /** Where the value at `path` stands, or its key; where there is none, what is nearest above it. */
  spot(path: PathKeys, what: "key" | "value" = "value"): Spot {
    const resolved = (node: unknown) =>
      isAlias(node) && this.#document !== undefined ? node.resolve(this.#document) : node;
    let node: unknown = this.#document?.contents;
    let spot = this.#spotOf(node) ?? { line: 1, column: 1, length: 1 };
    for (const [depth, key] of path.entries()) {
      const last = depth === path.length - 1;
      if (isMap(node)) {
        const pair = node.items.find((item) => keyText(item) === String(key));
        if (pair === undefined) return spot;
        const keySpot = this.#spotOf(pair.key) ?? spot;
        const valueSpot = isEmpty(pair.value) ? keySpot : this.#spotOf(pair.value) ?? keySpot;
        spot = last && what === "key" ? keySpot : valueSpot;
        node = resolved(pair.value);
      } else if (isSeq(node)) {
        const item = node.items[Number(key)];
        spot = this.#spotOf(item) ?? spot;
        node = resolved(item);
      } else return spot;
    }
    return spot;
  }

  /** Whether the file says anything at `path`. */
  has(path: PathKeys): boolean {
    let value: unknown = this.value;
    for (const key of path) {
      if (typeof value !== "object" || value === null) return false;
      value = (value as Record<PropertyKey, unknown>)[key];
    }
    return value !== undefined;
  }

  place(path: PathKeys, what: "key" | "value" = "value"): Place {
    const { line, column } = this.spot(path, what);
    return { file: this.text.file, line, column };
  }

  #spotOf(node: unknown): Spot | undefined {
    if (!isNode(node)) return undefined;
    const range = (node as Node).range;
    if (range === null || range === undefined) return undefined;
    // Of a group or a list, its first line says where; of a value, all of it.
    return this.#spot(range[0], isScalar(node) ? Math.max(1, range[1] - range[0]) : 1);
  }
}

function keyText(pair: Pair): string | undefined {
  return isScalar(pair.key) ? String(pair.key.value) : undefined;
}

const isEmpty = (node: unknown): boolean =>
  node === null || node === undefined || (isScalar(node) && node.source === "");

/** What the YAML parser says, in words for people who write policies. */
function explainYaml(error: YAMLError, at: string): { message: string; hint: string } {
  const { code } = error;
  const message = error.message.split("\n")[0];
  if (at.startsWith("!")) {
    return { message: `a text cannot start with ! here`, hint: "quote it, or use not:" };
  }
  if (at.startsWith("%") || at.startsWith("@") || at.startsWith("`")) {
    return { message: `a text cannot start with ${at[0]} here`, hint: "put it into quotes" };
  }
  switch (code) {
    case "DUPLICATE_KEY":
      return { message: "this key is written twice in its group", hint: "remove one of the two" };
    case "TAB_AS_INDENT":
      return { message: "tabs cannot indent YAML", hint: "indent with spaces" };
    case "BAD_INDENT":
      if (/end with/.test(message)) {
        return { message: "a bracket or brace is not closed", hint: "close every { and [" };
      }
      return { message, hint: "keys of one group start in the same column" };
    case "MISSING_CHAR":
    case "BAD_DQ_ESCAPE":
      return { message, hint: 'close every { [ and quote; in "…" write \\\\ for a backslash' };
    case "MULTIPLE_DOCS":
      return { message: "a policy is one YAML document", hint: "remove the --- and what follows" };
    case "BLOCK_AS_IMPLICIT_KEY":
    case "MULTILINE_IMPLICIT_KEY":
      return { message, hint: "one key: value per line; quote texts that contain ': '" };
    default:
      return { message, hint: "this is not valid YAML; look at quotes, colons and indents" };
  }
}
