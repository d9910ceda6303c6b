/**
 * Reads successful S3 answers, and believes none of them unseen: length, range and version must be
 * those that were asked for, else the call is `corrupt`. A body is read to its end or destroyed, or
 * its connection would leak.
 */
import type { GetObjectCommandOutput, HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import type { Readable } from "node:stream";
import { type ObjectInfo, StoreError } from "./object_store.ts";
import type { MoreTime } from "./s3_calls.ts";
import type { Answer } from "./s3_errors.ts";

/** The store's clock, from the Date header: milliseconds since 1970; undefined where there is none. */
export function storeTimeMs(answer: Answer): number | undefined {
  const time = Date.parse(answer.headers["date"] ?? "");
  return Number.isNaN(time) ? undefined : time;
}

/** Throws `corrupt` where another version answered than the one that was asked for. */
export function checkVersion(
  answered: string | undefined,
  asked: { operation: string; key: string; versionId: string | undefined },
): void {
  const { operation, key, versionId } = asked;
  if (versionId === undefined || answered === undefined || answered === versionId) return;
  throw new StoreError(
    "corrupt",
    `${operation} ${key}: version ${versionId} was asked for, ${answered} answered`,
  );
}

export function infoFromHead(
  output: HeadObjectCommandOutput,
  about: { key: string; answer: Answer },
): ObjectInfo {
  const { ContentLength, LastModified, ETag, VersionId } = output;
  if (ContentLength === undefined || LastModified === undefined || ETag === undefined) {
    throw new StoreError(
      "corrupt",
      `head ${about.key}: the answer lacks length, time or ETag of the object`,
      { status: about.answer.status },
    );
  }
  return {
    key: about.key,
    length: ContentLength,
    versionId: VersionId ?? "null",
    modifiedMs: LastModified.getTime(),
  };
}

/** All bytes of a GET's body, which are exactly those asked for. */
export async function readBody(
  output: GetObjectCommandOutput,
  asked: {
    key: string;
    range: { offset: number; length: number } | undefined;
    versionId: string | undefined;
    answer: Answer;
    moreTime: MoreTime;
  },
): Promise<Uint8Array<ArrayBuffer>> {
  const { key, versionId } = asked;
  const body = output.Body as unknown as Readable;
  // What a destroyed body still emits is nobody's business, but would end the process unheard.
  body.on("error", () => {});
  try {
    checkVersion(output.VersionId, { operation: "get", key, versionId });
    const length = expectedLength(output, asked);
    asked.moreTime(length);
    return await collect(body, { key, length });
  } finally {
    body.destroy();
  }
}

function expectedLength(
  output: GetObjectCommandOutput,
  asked: {
    key: string;
    range: { offset: number; length: number } | undefined;
    answer: Answer;
  },
): number {
  const { key, range, answer } = asked;
  const fail = (why: string): never => {
    throw new StoreError("corrupt", `get ${key}: ${why}`, { status: answer.status });
  };
  const length = output.ContentLength;
  if (length === undefined) return fail("the answer does not say how long it is");
  if (range === undefined) {
    return answer.status === 200 ? length : fail(`a part came back (${output.ContentRange})`);
  }
  const wanted = `bytes ${range.offset}-${range.offset + range.length - 1}`;
  if (answer.status !== 206) return fail(`${wanted} were asked for, the whole object came back`);
  if (output.ContentRange?.split("/")[0] !== wanted) {
    return fail(`${wanted} were asked for, '${output.ContentRange}' came back`);
  }
  return length === range.length
    ? length
    : fail(`${wanted} were asked for, the answer announces ${length} bytes`);
}

async function collect(
  body: Readable,
  expected: { key: string; length: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const { key, length } = expected;
  const bytes = new Uint8Array(length);
  let done = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    if (done + chunk.length > length) {
      throw new StoreError("corrupt", `get ${key}: more than the announced ${length} bytes came`);
    }
    bytes.set(chunk, done);
    done += chunk.length;
  }
  if (done < length) {
    // Deno ends the body of a broken connection without an error in some cases.
    throw new StoreError(
      "unavailable",
      `get ${key}: the connection ended after ${done} of the announced ${length} bytes`,
    );
  }
  return bytes;
}
