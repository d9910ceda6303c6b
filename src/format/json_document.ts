/** Small JSON documents of the bucket: bounded parsing that throws FormatError and nothing else. */
import { FormatError, wellFormed } from "./format_error.ts";
import { FORMAT_VERSION, MAX_DOCUMENT_BYTES } from "./limits.ts";

/** Fields of a parsed document, checked as they are taken. */
export interface Fields {
  text(name: string, pattern?: RegExp): string;
  /** Undefined where there is no such field. */
  optionalText(name: string, pattern: RegExp): string | undefined;
  integer(name: string, minimum: number): number;
  texts(name: string): string[];
}

/** Parses a document of at most 64 KiB. `what` names it in messages. */
export function parseDocument(bytes: Uint8Array, what: string): Fields {
  wellFormed(
    bytes.length <= MAX_DOCUMENT_BYTES,
    () => `${what} has ${bytes.length} bytes; at most ${MAX_DOCUMENT_BYTES} are expected`,
  );
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new FormatError("corrupt", `${what} is not JSON`, { cause: error });
  }
  wellFormed(
    typeof value === "object" && value !== null && !Array.isArray(value),
    () => `${what} is not a JSON object`,
  );
  const fields = new Map<string, unknown>(Object.entries(value as object));
  const wrong = (name: string) =>
    new FormatError(
      "corrupt",
      `'${name}' in ${what} is ${JSON.stringify(fields.get(name))?.slice(0, 80) ?? "missing"}`,
    );
  return {
    text(name, pattern) {
      const found = fields.get(name);
      if (typeof found !== "string" || (pattern !== undefined && !pattern.test(found))) {
        throw wrong(name);
      }
      return found;
    },
    optionalText(name, pattern) {
      return fields.has(name) ? this.text(name, pattern) : undefined;
    },
    integer(name, minimum) {
      const found = fields.get(name);
      if (!Number.isSafeInteger(found) || (found as number) < minimum) throw wrong(name);
      return found as number;
    },
    texts(name) {
      const found = fields.get(name);
      if (!Array.isArray(found) || !found.every((item) => typeof item === "string")) {
        throw wrong(name);
      }
      return found;
    },
  };
}

/** Refuses a document of another format version, by name. */
export function refuseOtherFormat(fields: Fields, what: string): void {
  const format = fields.integer("format", 0);
  if (format !== FORMAT_VERSION) {
    throw new FormatError(
      "unknown",
      `${what} is of format ${format}; this version reads format ${FORMAT_VERSION}`,
    );
  }
}

/** An id of 16 bytes, as 32 hexadecimal digits. */
export const ID_PATTERN = /^[0-9a-f]{32}$/;
/** A SHA-256, as 64 hexadecimal digits. */
export const HASH_PATTERN = /^[0-9a-f]{64}$/;
/** A time, such as 2026-01-31T12:00:00.000Z. */
export const TIME_PATTERN = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/** Writes a document as people read it. */
export function encodeDocument(value: object): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value, null, 2) + "\n");
}
