/**
 * A bucket behind the S3 protocol: Backblaze B2, and stores that speak the same.
 *
 * Owns the SDK's client. Each call is one attempt, bounded in time as a whole and while nothing
 * moves, and ends when the caller's signal aborts. Puts send bytes whose SHA-256 is signed, so the
 * store verifies them; gets hand out exactly the bytes asked for, counted against the answer's
 * headers. A delete always names a version (without one it would only hide, and be billed for ever).
 * Conditional requests, multipart and checksum headers are never used: B2 lacks or lacked them.
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { invariant } from "../domain/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import { Closing } from "./closing.ts";
import { checkKey, checkRange } from "./keys.ts";
import {
  type CallOptions,
  type ObjectInfo,
  type ObjectStore,
  type PutResult,
  StoreError,
} from "./object_store.ts";
import { Redaction, type StoreCredentials } from "./redaction.ts";
import { checkVersion, infoFromHead, readBody, storeTimeMs } from "./s3_answers.ts";
import { S3Calls } from "./s3_calls.ts";
import { createS3Client, defaultTimeouts, type StoreTimeouts } from "./s3_client.ts";
import { listObjects, listObjectVersions } from "./s3_listing.ts";

export interface S3ObjectStoreOptions {
  endpoint: string;
  region: string;
  bucket: string;
  /** Put before every key, with a slash; "" for none. */
  prefix: string;
  credentials: StoreCredentials;
  clock: Clock;
  /** For people; without credentials. */
  description: string;
  timeouts?: Partial<StoreTimeouts>;
  /** Connections at most; 32 unless set. */
  maxSockets?: number;
}

export class S3ObjectStore implements ObjectStore {
  readonly description: string;
  #client: S3Client;
  #bucket: string;
  #prefix: string;
  #closing = new Closing();
  #calls: S3Calls;

  constructor(options: S3ObjectStoreOptions) {
    const timeouts = { ...defaultTimeouts, ...options.timeouts };
    this.description = options.description;
    this.#bucket = options.bucket;
    this.#prefix = options.prefix === "" ? "" : `${options.prefix}/`;
    this.#client = createS3Client({
      endpoint: options.endpoint,
      region: options.region,
      credentials: options.credentials,
      timeouts,
      maxSockets: options.maxSockets ?? 32,
    });
    this.#calls = new S3Calls({
      client: this.#client,
      clock: options.clock,
      closing: this.#closing,
      redaction: new Redaction(options.credentials),
      region: options.region,
      timeouts,
    });
  }

  async put(key: string, body: Uint8Array, options: CallOptions = {}): Promise<PutResult> {
    const call = { operation: "put", subject: key, bytes: body.length, signal: options.signal };
    const command = new PutObjectCommand({
      ...this.#address(key),
      Body: body,
      ContentLength: body.length,
      ContentType: "application/octet-stream",
    });
    const { versionId, timeMs } = await this.#calls.run(call, async (send) => {
      const { output, answer } = await send(command);
      if (output.ETag === undefined) {
        throw new StoreError("corrupt", `put ${key}: the answer is not that of a store: no ETag`, {
          status: answer.status,
        });
      }
      return { versionId: output.VersionId, timeMs: storeTimeMs(answer) };
    });
    if (versionId !== undefined) return { versionId, storeTimeMs: timeMs };
    const stored = await this.head(key, options);
    if (stored.length !== body.length) {
      throw new StoreError(
        "corrupt",
        `put ${key}: the store holds ${stored.length} bytes, ${body.length} were sent`,
      );
    }
    return { versionId: stored.versionId, storeTimeMs: timeMs };
  }

  async get(
    key: string,
    options: CallOptions & { versionId?: string; range?: { offset: number; length: number } } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { range, versionId, signal } = options;
    if (range !== undefined) checkRange(key, range);
    if (range?.length === 0) return await this.#getNothing(key, { ...options, range });
    const command = new GetObjectCommand({
      ...this.#address(key),
      VersionId: versionId,
      Range: range && `bytes=${range.offset}-${range.offset + range.length - 1}`,
    });
    const call = { operation: "get", subject: key, bytes: range?.length, signal };
    return await this.#calls.run(call, async (send, moreTime) => {
      const { output, answer } = await send(command);
      return await readBody(output, { key, range, versionId, answer, moreTime });
    });
  }

  head(key: string, options: CallOptions & { versionId?: string } = {}): Promise<ObjectInfo> {
    const { versionId, signal } = options;
    const address = { ...this.#address(key), VersionId: versionId };
    const call = { operation: "head", subject: key, signal };
    return this.#calls.run(call, async (send) => {
      const { output, answer, error } = await send(new HeadObjectCommand(address), {
        expected: [404],
      });
      if (output !== undefined) {
        checkVersion(output.VersionId, { operation: "head", key, versionId });
        return infoFromHead(output, { key, answer });
      }
      // An answer to HEAD has no body, so this 404 does not say what is missing: object, version,
      // bucket or the way to the store. The answer to a GET of one byte does.
      await send(new GetObjectCommand({ ...address, Range: "bytes=0-0" })).then((again) =>
        (again.output.Body as { destroy(): void } | undefined)?.destroy()
      );
      throw new StoreError("unavailable", `head ${key}: the store contradicts itself`, {
        status: answer.status,
        cause: error,
      });
    });
  }

  list(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo> {
    return listObjects(this.#calls, this.#listing(prefix, options));
  }

  listVersions(
    prefix: string,
    options: CallOptions & { startAfter?: string } = {},
  ): AsyncIterable<ObjectInfo & { marker: boolean; latest: boolean }> {
    return listObjectVersions(this.#calls, this.#listing(prefix, options));
  }

  async delete(key: string, versionId: string, options: CallOptions = {}): Promise<void> {
    invariant(versionId !== "", "a delete names the version that it removes");
    const command = new DeleteObjectCommand({ ...this.#address(key), VersionId: versionId });
    const call = { operation: "delete", subject: key, signal: options.signal };
    try {
      await this.#calls.run(call, (send) => send(command));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.kind === "missing") return;
      if (error.kind !== "invalid" || error.status !== 400) throw error;
      // Some stores refuse to delete what is not there; then the refusal is a success.
      for await (const version of this.listVersions(key, options)) {
        if (version.key === key && version.versionId === versionId) throw error;
      }
    }
  }

  close(): void {
    this.#closing.close();
    this.#client.destroy();
  }

  /** A range of no bytes cannot be asked for over HTTP. */
  async #getNothing(
    key: string,
    options: CallOptions & { versionId?: string; range: { offset: number } },
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { length } = await this.head(key, options);
    if (options.range.offset > length) {
      throw new StoreError(
        "corrupt",
        `get ${key}: offset ${options.range.offset} was asked for, the object holds ${length} bytes`,
      );
    }
    return new Uint8Array(0);
  }

  #address(key: string): { Bucket: string; Key: string } {
    checkKey(key);
    checkKey(this.#prefix + key);
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  #listing(prefix: string, options: CallOptions & { startAfter?: string }) {
    return { bucket: this.#bucket, storePrefix: this.#prefix, prefix, ...options };
  }
}
