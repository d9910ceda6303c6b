/**
 * What a cache keeps of an encrypted file system's key (key.json): the descriptor, and the wrapped master
 * key as the bucket had it last, so that a passphrase can be checked while the bucket is away. No secret:
 * the bucket holds the same. That it is there says that the cache belongs to an encrypted file system.
 */
import { z } from "zod";
import { Buffer } from "node:buffer";
import { UserError } from "../domain/errors.ts";
import { decodeDescriptor, type Descriptor, encodeDescriptor } from "../format/descriptor.ts";
import { holdsFilesystem } from "./cache_directory.ts";
import { cacheLayout } from "./cache_layout.ts";
import { replaceFile } from "./durable_file.ts";

export interface KeyCopy {
  descriptor: Descriptor;
  /** Undefined where the file system was only ever opened with its recovery key. */
  wrapped: Uint8Array<ArrayBuffer> | undefined;
}

/** Whether this is the cache of an encrypted file system. */
export function needsKey(cache: string): boolean {
  return holdsFilesystem(cache) && new KeyFile(cacheLayout(cache).key).read() !== undefined;
}

const schema = z.object({ descriptor: z.string(), wrapped: z.string().optional() });

export class KeyFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined where there is none. Throws UserError where it is damaged. */
  read(): KeyCopy | undefined {
    let text: string;
    try {
      text = Deno.readTextFileSync(this.#path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
    try {
      const { descriptor, wrapped } = schema.parse(JSON.parse(text));
      return {
        descriptor: decodeDescriptor(new TextEncoder().encode(descriptor)),
        wrapped: wrapped === undefined ? undefined : new Uint8Array(Buffer.from(wrapped, "base64")),
      };
    } catch (error) {
      throw new UserError(`${this.#path} is damaged`, {
        hint: "remove it, and mount while the bucket can be reached",
        cause: error,
      });
    }
  }

  /** On the disk when it returns; does nothing where it says the same already. */
  write({ descriptor, wrapped }: KeyCopy): void {
    const text = JSON.stringify({
      descriptor: new TextDecoder().decode(encodeDescriptor(descriptor)),
      wrapped: wrapped && Buffer.from(wrapped).toString("base64"),
    });
    try {
      if (Deno.readTextFileSync(this.#path) === text) return;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    replaceFile(this.#path, new TextEncoder().encode(text));
  }
}
