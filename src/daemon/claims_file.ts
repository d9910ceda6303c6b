/**
 * Remembers, in the cache, which claims on the bucket this cache has made and not given back (lease.json):
 * an unreleased one of these is ours, left by a crash. Durable before a claim is sent.
 */
import { z } from "zod";
import { UserError } from "../domain/errors.ts";
import type { ClaimName } from "../format/lease_claim.ts";
import { replaceFile } from "./durable_file.ts";

const schema = z.array(z.object({ epoch: z.number(), mountId: z.string() }));

export class ClaimsFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** The claims; none where the file is absent. Throws UserError where it is damaged. */
  read(): ClaimName[] {
    let text: string;
    try {
      text = Deno.readTextFileSync(this.#path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      throw new UserError(`${this.#path} is damaged`, {
        hint: "remove it, and mount with --take-over",
        cause: error,
      });
    }
  }

  /** Replaces the claims; on the disk when it returns. */
  write(claims: ClaimName[]): void {
    replaceFile(this.#path, new TextEncoder().encode(JSON.stringify(claims)));
  }
}
