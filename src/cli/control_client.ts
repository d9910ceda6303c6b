/** Asks the daemon that serves a cache, over its control socket. Owns one connection per request. */
import { ExitCode, UserError } from "../domain/errors.ts";
import { printName } from "../domain/name_text.ts";
import { cacheLayout } from "../daemon/cache_layout.ts";
import type { ControlProgress, ControlReply, ControlRequest } from "../daemon/control_protocol.ts";
import { shortSocketPath } from "../daemon/control_server.ts";
import type { ZeroMount } from "../daemon/find_mount.ts";

async function connect(mount: ZeroMount): Promise<Deno.UnixConn> {
  const name = cacheLayout("").socket.slice(1);
  const address = shortSocketPath(mount.cache, name);
  try {
    return await Deno.connect({ transport: "unix", path: address.path });
  } catch (error) {
    const where = printName(mount.mountpoint);
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UserError(`the daemon of ${where} belongs to another user`, {
        hint: "run this as the user who mounted it",
        cause: error,
      });
    }
    throw new UserError(`the daemon of ${where} does not answer; the mount is stale`, {
      hint: `zero unmount '${where}' clears it`,
      cause: error,
    });
  } finally {
    address.close();
  }
}

/**
 * Sends one request and returns its result. Progress goes to `onProgress` in order. Throws the daemon's
 * UserError, or one that says that the daemon has ended. After the result, waits until the daemon closes.
 * `signal` ends the wait: the connection is closed, and this rejects.
 */
export async function callDaemon<T>(
  mount: ZeroMount,
  request: ControlRequest,
  onProgress: (progress: ControlProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<T> {
  const connection = await connect(mount);
  let closed = false;
  const close = () => {
    if (!closed) connection.close();
    closed = true;
  };
  signal?.addEventListener("abort", close, { once: true });
  try {
    const bytes = new TextEncoder().encode(JSON.stringify(request) + "\n");
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(65_536);
    let text = "";
    let reply: ControlReply | undefined;
    for (let count; (count = await connection.read(buffer)) !== null;) {
      text += decoder.decode(buffer.subarray(0, count), { stream: true });
      const lines = text.split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        const message = JSON.parse(line) as ControlReply;
        if ("progress" in message) onProgress(message.progress);
        else reply = message;
      }
    }
    if (reply === undefined || !("result" in reply || "error" in reply)) {
      throw new UserError(`the daemon of ${printName(mount.mountpoint)} ended without an answer`, {
        hint: `see ${cacheLayout(mount.cache).log}`,
      });
    }
    if ("result" in reply) return reply.result as T;
    const { message, hint, exitCode } =
      (reply as { error: { message: string; hint?: string; exitCode: number } }).error;
    throw new UserError(message, { hint, exitCode: exitCode || ExitCode.failure });
  } finally {
    signal?.removeEventListener("abort", close);
    close();
  }
}

/** Names as they travel. */
export function wirePath(names: Uint8Array[]): string[] {
  return names.map((name) => [...name].map((b) => b.toString(16).padStart(2, "0")).join(""));
}
