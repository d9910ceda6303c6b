/**
 * HTTP/1.1 on a socket, by hand: a library would not let a test stop in the middle of a header, send
 * fewer bytes than announced, or close without a word.
 */

import type { Link } from "./link.ts";

export interface WireRequest {
  method: string;
  /** As sent, still percent-encoded. */
  path: string;
  /** As sent, without the question mark. */
  query: string;
  /** Names in lower case. */
  headers: Map<string, string>;
}

export interface WireResponse {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
}

/** How an answer goes wrong on the wire. All counts are bytes of the body. */
export interface Delivery {
  /** Send so many, then nothing more; the connection stays open. */
  stallAfter?: number;
  /** Send so many, then close. */
  closeAfter?: number;
  /** Pause between pieces of this size. */
  trickle?: { bytes: number; everyMs: number };
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();
const maxHeadBytes = 64 * 1024;

export class WireConnection {
  #buffer = new Uint8Array(0);
  /** `link`: what all connections share; undefined: as fast as it can. */
  constructor(readonly conn: Deno.Conn, private readonly link?: Link) {}

  /** The head of the next request; undefined when the client is done. */
  async readHead(): Promise<WireRequest | undefined> {
    let end: number;
    while ((end = indexOfBlankLine(this.#buffer)) < 0) {
      if (this.#buffer.length > maxHeadBytes) throw new Error("the head of a request is too long");
      if (!await this.#fill()) return undefined;
    }
    const [first, ...lines] = decoder.decode(this.#buffer.subarray(0, end)).split("\r\n");
    this.#buffer = this.#buffer.subarray(end + 4);
    const [method, target] = first.split(" ");
    const mark = target.indexOf("?");
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    return {
      method,
      path: mark < 0 ? target : target.slice(0, mark),
      query: mark < 0 ? "" : target.slice(mark + 1),
      headers,
    };
  }

  /** Up to `limit` bytes of the body; undefined when the client went away before they came. */
  async readBody(
    request: WireRequest,
    limit = Infinity,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const announced = Number(request.headers.get("content-length") ?? 0);
    const length = Math.min(announced, limit);
    if (request.headers.get("expect")?.toLowerCase() === "100-continue") {
      await this.#write(encoder.encode("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    const body = new Uint8Array(length);
    let done = Math.min(this.#buffer.length, length);
    body.set(this.#buffer.subarray(0, done));
    this.#buffer = this.#buffer.subarray(done);
    while (done < length) {
      const until = Math.min(length, done + (this.link?.pieceBytes ?? length));
      const read = await this.conn.read(body.subarray(done, until));
      if (read === null) return undefined;
      await this.link?.up(read);
      done += read;
    }
    return body;
  }

  /** Sends an answer; false where the connection must not be used again. */
  async respond(
    response: WireResponse,
    options: { withoutBody: boolean; delivery: Delivery },
  ): Promise<boolean> {
    const lines = [`HTTP/1.1 ${response.status} ${response.status < 400 ? "OK" : "Error"}`];
    for (const [name, value] of Object.entries(response.headers)) lines.push(`${name}: ${value}`);
    await this.#write(encoder.encode(`${lines.join("\r\n")}\r\n\r\n`));
    if (options.withoutBody) return true;
    const { stallAfter, closeAfter, trickle } = options.delivery;
    const body = response.body.subarray(0, stallAfter ?? closeAfter ?? response.body.length);
    if (trickle === undefined) await this.#send(body);
    else {
      for (let at = 0; at < body.length; at += trickle.bytes) {
        await this.#write(body.subarray(at, at + trickle.bytes));
        await new Promise((resolve) => setTimeout(resolve, trickle.everyMs));
      }
    }
    if (stallAfter !== undefined) await this.untilClosed();
    return stallAfter === undefined && closeAfter === undefined;
  }

  /** Waits, sending and reading nothing that matters, until the client gives up. */
  async untilClosed(): Promise<void> {
    const sink = new Uint8Array(4096);
    while (await this.conn.read(sink) !== null);
  }

  async #fill(): Promise<boolean> {
    const chunk = new Uint8Array(16 * 1024);
    const read = await this.conn.read(chunk);
    if (read === null) return false;
    const joined = new Uint8Array(this.#buffer.length + read);
    joined.set(this.#buffer);
    joined.set(chunk.subarray(0, read), this.#buffer.length);
    this.#buffer = joined;
    return true;
  }

  async #send(body: Uint8Array): Promise<void> {
    const size = this.link?.pieceBytes ?? Math.max(1, body.length);
    for (let at = 0; at < body.length; at += size) {
      const piece = body.subarray(at, at + size);
      await this.link?.down(piece.length);
      await this.#write(piece);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) done += await this.conn.write(bytes.subarray(done));
  }
}

function indexOfBlankLine(bytes: Uint8Array): number {
  for (let i = 0; i + 3 < bytes.length; i++) {
    if (bytes[i] === 13 && bytes[i + 1] === 10 && bytes[i + 2] === 13 && bytes[i + 3] === 10) {
      return i;
    }
  }
  return -1;
}
