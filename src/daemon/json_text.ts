/**
 * JSON that may be longer than memory: a document of named members, of which lists are written item by
 * item. What comes out is what `JSON.stringify(document, null, 2)` would have made. Pure.
 */

/** A list whose items are made as they are written. */
export class JsonList<T = unknown> {
  readonly #items: Iterable<T>;
  readonly #json: (item: T) => unknown;

  constructor(items: Iterable<T>, json: (item: T) => unknown = (item) => item) {
    this.#items = items;
    this.#json = json;
  }

  *[Symbol.iterator](): Generator<unknown> {
    for (const item of this.#items) yield this.#json(item);
  }
}

export type JsonMembers = Record<string, unknown>;

/** The document in lines, without their ends. Members that are undefined are left out. */
export function* jsonLines(members: JsonMembers): Generator<string> {
  const named = Object.entries(members).filter(([, value]) => value !== undefined);
  if (named.length === 0) return yield "{}";
  yield "{";
  for (const [place, [name, value]] of named.entries()) {
    const key = `  ${JSON.stringify(name)}: `;
    const end = place === named.length - 1 ? "" : ",";
    if (value instanceof JsonList) yield* listLines(value, { key, end });
    else yield key + indented(value, "  ") + end;
  }
  yield "}";
}

/** Bytes, about, that are printed at once. */
const BLOCK = 64 * 1024;

/** Prints a document, a block of lines at a time. */
export function printJson(print: (text: string) => void, members: JsonMembers): void {
  let block = "";
  for (const line of jsonLines(members)) {
    if (block !== "" && block.length + line.length > BLOCK) {
      print(block);
      block = line;
    } else block += block === "" ? line : `\n${line}`;
  }
  print(block);
}

function* listLines(
  list: JsonList,
  { key, end }: { key: string; end: string },
): Generator<string> {
  // One item is held back, because only the last one has no comma.
  let before: string | undefined;
  for (const item of list) {
    yield before === undefined ? `${key}[` : `${before},`;
    before = `    ${indented(item, "    ")}`;
  }
  if (before === undefined) return yield `${key}[]${end}`;
  yield before;
  yield `  ]${end}`;
}

const indented = (value: unknown, indent: string) =>
  JSON.stringify(value, null, 2).replaceAll("\n", `\n${indent}`);

/** At most so many of some items. */
export function* first<T>(limit: number, items: Iterable<T>): Generator<T> {
  let left = limit;
  if (left <= 0) return;
  for (const item of items) {
    yield item;
    if (--left <= 0) return;
  }
}
