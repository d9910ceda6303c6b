/**
 * Answers the command line on a Unix socket in the cache directory (mode 600, in a private directory).
 * Owns the socket and its connections. A client that sends nothing, too much, or takes nothing is let
 * go; it never makes anything else wait.
 */
import { ExitCode, FsError, UserError } from "../domain/errors.ts";
import * as libc from "../runtime/libc.ts";
import type { ControlProgress, ControlReply, ControlRequest } from "./control_protocol.ts";
import { LIMITS } from "./limits.ts";

/** Carries out one request. `signal` aborts when the client has gone. */
export type ControlHandler = (
  request: ControlRequest,
  context: { progress: (progress: ControlProgress) => Promise<void>; signal: AbortSignal },
) => Promise<unknown>;

const encoder = new TextEncoder();

/**
 * A path to `name` in `directory` that fits a socket address (108 bytes), valid until `close`. Long
 * directories are reached through a descriptor.
 */
export function shortSocketPath(
  directory: string,
  name: string,
): { path: string; close: () => void } {
  const path = `${directory}/${name}`;
  if (encoder.encode(path).length <= 100) return { path, close: () => {} };
  const fd = libc.open(directory, libc.O.PATH | libc.O.DIRECTORY);
  if (fd < 0) throw new UserError(`${directory} cannot be opened`, { hint: "does it exist?" });
  return { path: `/proc/self/fd/${fd}/${name}`, close: () => void libc.close(fd) };
}

export class ControlServer {
  readonly #listener: Deno.UnixListener;
  readonly #handler: ControlHandler;
  readonly #log: (message: string) => void;
  readonly #address: { path: string; close: () => void };
  readonly #connections = new Set<Deno.UnixConn>();
  readonly #answers = new Set<Promise<void>>();
  readonly #accepting: Promise<void>;

  /** Listens from now on. A socket that an earlier daemon left behind is replaced (the caller holds the lock). */
  constructor(
    directory: string,
    options: { name: string; handler: ControlHandler; log: (message: string) => void },
  ) {
    this.#handler = options.handler;
    this.#log = options.log;
    libc.unlink(`${directory}/${options.name}`);
    this.#address = shortSocketPath(directory, options.name);
    this.#listener = Deno.listen({ transport: "unix", path: this.#address.path });
    Deno.chmodSync(this.#address.path, 0o600);
    this.#accepting = this.#accept();
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      if (this.#connections.size >= LIMITS.CONTROL_CONNECTIONS) {
        connection.close();
        continue;
      }
      this.#connections.add(connection);
      const answer = this.#serve(connection)
        .catch((error) => this.#log(`control connection: ${error}`))
        .finally(() => {
          this.#connections.delete(connection);
          this.#answers.delete(answer);
          closeQuietly(connection);
        });
      this.#answers.add(answer);
    }
  }

  async #serve(connection: Deno.UnixConn): Promise<void> {
    const gone = new AbortController();
    const send = async (reply: ControlReply) => {
      const timer = setTimeout(() => closeQuietly(connection), LIMITS.CONTROL_STUCK_MS);
      try {
        await writeAll(connection, encoder.encode(JSON.stringify(reply) + "\n"));
      } catch (error) {
        gone.abort(error);
        throw error;
      } finally {
        clearTimeout(timer);
      }
    };
    const line = await readLine(connection);
    if (line === undefined) return;
    // A client says nothing more: whatever comes next is its end.
    void connection.read(new Uint8Array(1)).then(
      () => gone.abort(new Error("the client has gone")),
      (error) => gone.abort(error),
    );
    let reply: ControlReply;
    try {
      const request = JSON.parse(line) as ControlRequest;
      const progress = (update: ControlProgress) => send({ progress: update });
      reply = { result: await this.#handler(request, { progress, signal: gone.signal }) ?? null };
    } catch (error) {
      if (gone.signal.aborted) return;
      reply = { error: describeError(error) };
      if (!(error instanceof UserError)) this.#log(`command failed: ${error}`);
    }
    await send(reply);
  }

  /** Stops listening; waits at most `graceMs` for answers under way, then ends their connections. */
  async close(graceMs: number): Promise<void> {
    this.#listener.close();
    await this.#accepting.catch((error) => this.#log(`control socket: ${error}`));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, graceMs));
    await Promise.race([Promise.all(this.#answers), late]);
    clearTimeout(timer);
    for (const connection of this.#connections) closeQuietly(connection);
    this.#address.close();
  }
}

/** An error as the command line shows it. */
export function describeError(
  error: unknown,
): { message: string; hint: string | undefined; exitCode: number } {
  if (error instanceof UserError) {
    return { message: error.message, hint: error.hint, exitCode: error.exitCode };
  }
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof FsError) return { message, hint: undefined, exitCode: ExitCode.failure };
  const exitCode = error instanceof Error && error.name === "StoreError"
    ? ExitCode.store
    : ExitCode.failure;
  return { message, hint: undefined, exitCode };
}

async function readLine(connection: Deno.UnixConn): Promise<string | undefined> {
  const timer = setTimeout(() => closeQuietly(connection), LIMITS.CONTROL_REQUEST_MS);
  const decoder = new TextDecoder();
  let text = "";
  const buffer = new Uint8Array(65_536);
  try {
    while (text.length <= LIMITS.CONTROL_REQUEST_BYTES) {
      const count = await connection.read(buffer);
      if (count === null) return undefined;
      text += decoder.decode(buffer.subarray(0, count), { stream: true });
      const end = text.indexOf("\n");
      if (end >= 0) return text.slice(0, end);
    }
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

async function writeAll(connection: Deno.UnixConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

function closeQuietly(connection: Deno.UnixConn): void {
  try {
    connection.close();
  } catch (error) {
    // Closed before, from the other of two places that may.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
