/**
 * Keeps credentials out of everything that may be printed: messages, and the causes of errors.
 *
 * SDK and server errors carry requests, headers and echoes of what was signed. None of those objects
 * leaves this folder: a cause is a fresh error with redacted text only.
 */
import { Buffer } from "node:buffer";
import { printable } from "./keys.ts";

/** What a bucket knows its user by. */
export interface StoreCredentials {
  keyId: string;
  applicationKey: string;
}

export class Redaction {
  #secrets: string[];

  constructor(credentials: StoreCredentials) {
    const { keyId, applicationKey } = credentials;
    const plain = [applicationKey, `${keyId}:${applicationKey}`, keyId].filter((each) =>
      each !== ""
    );
    const forms = plain.flatMap((secret) => [
      secret,
      encodeURIComponent(secret),
      Buffer.from(secret).toString("base64"),
      Buffer.from(secret).toString("base64url"),
      Buffer.from(secret).toString("hex"),
    ]);
    // The longest first, so that no part of one survives the replacement of another.
    this.#secrets = [...new Set(forms)].sort((a, b) => b.length - a.length);
  }

  /** `text` on one line without any form of the credentials, cut to a length that fits a message. */
  text(text: string): string {
    return printable(this.#replace(text).replace(/\s+/g, " "));
  }

  /** A harmless stand-in for an error: name, message, code and stack, nothing else. */
  cause(error: unknown): Error {
    const original = error instanceof Error ? error : new Error(String(error));
    const copy = new Error(this.text(original.message));
    copy.name = this.text(original.name);
    copy.stack = this.#replace(original.stack ?? "");
    const code = (original as { code?: unknown }).code;
    return typeof code === "string" ? Object.assign(copy, { code: this.text(code) }) : copy;
  }

  #replace(text: string): string {
    let clean = text;
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, "[redacted]");
    return clean;
  }
}
