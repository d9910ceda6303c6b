/**
 * The command line as bytes. Deno replaces what is not UTF-8 in Deno.args (measured), so paths are
 * looked up in /proc/self/cmdline, whose last entries are the same arguments.
 */
import { UserError } from "../domain/errors.ts";
import { parseName } from "../domain/name_text.ts";

const REPLACEMENT = "\ufffd";

export class RawArguments {
  readonly #raw: Uint8Array[];

  /** `cmdline`: NUL-terminated arguments, of which the last `count` are ours. */
  constructor(cmdline: Uint8Array, count: number) {
    const all: Uint8Array[] = [];
    let from = 0;
    for (let at; (at = cmdline.indexOf(0, from)) >= 0; from = at + 1) {
      all.push(cmdline.slice(from, at));
    }
    this.#raw = count === 0 ? [] : all.slice(-count);
  }

  static ofThisProcess(): RawArguments {
    return new RawArguments(Deno.readFileSync("/proc/self/cmdline"), Deno.args.length);
  }

  /** The bytes of a path argument; `\xNN` in it is understood. */
  path(text: string): Uint8Array {
    if (!text.includes(REPLACEMENT)) return parseName(text);
    const decoder = new TextDecoder();
    const index = this.#raw.findIndex((bytes) => decoder.decode(bytes) === text);
    if (index < 0) return parseName(text);
    // Two arguments may look the same after replacement; each is taken once, in order.
    return parseName(this.#raw.splice(index, 1)[0]);
  }
}

/** For paths that Zero itself must open (mount point, cache): they have to be text. */
export function requireText(text: string): string {
  if (!text.includes(REPLACEMENT)) return text;
  throw new UserError(`'${text}' is not valid UTF-8`, {
    hint: "mount points and caches need names in UTF-8; names inside a mount may be anything",
    exitCode: 2,
  });
}
