/**
 * Remembers, in the cache, which claims on the bucket this cache has made and not given back (lease.json):
 * an unreleased one of these is ours, left by a crash. Durable before a claim is sent.
 */
import { z } from "zod";
import { errnoName } from "../domain/errno.ts";
import { UserError } from "../domain/errors.ts";
import type { ClaimName } from "../format/lease_claim.ts";
import * as libc from "../runtime/libc.ts";

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
    const fresh = `${this.#path}.new`;
    const flags = libc.O.WRONLY | libc.O.CREAT | libc.O.TRUNC | libc.O.NOFOLLOW;
    const fd = libc.open(fresh, flags, 0o600);
    const bytes = new TextEncoder().encode(JSON.stringify(claims));
    const done = fd >= 0 && libc.write(fd, bytes) === bytes.length && libc.fsync(fd) >= 0;
    if (fd >= 0) libc.close(fd);
    const renamed = done ? libc.rename(fresh, this.#path) : fd;
    const directory = libc.open(this.#path.replace(/\/[^/]*$/, ""), libc.O.RDONLY);
    const synced = directory >= 0 && libc.fsync(directory) >= 0;
    if (directory >= 0) libc.close(directory);
    if (done && renamed >= 0 && synced) return;
    throw new UserError(`${this.#path} cannot be written${fd < 0 ? `: ${errnoName(-fd)}` : ""}`, {
      hint: "the cache's disk must be writable and not full",
    });
  }
}
