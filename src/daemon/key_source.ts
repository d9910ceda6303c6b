/**
 * Where the passphrase of an encrypted file system comes from: a private file, a command, a terminal; or
 * its recovery key from a file. Never from the command line or the environment. What was taken is bytes,
 * not text, so that whoever took it can wipe it.
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { requirePrivate } from "./credentials.ts";
import { LIMITS } from "./limits.ts";

/** What opens an encrypted file system. */
export interface Unlocking {
  kind: "passphrase" | "recovery key";
  bytes: Uint8Array<ArrayBuffer>;
}

export interface KeySource {
  /** Somebody has said where it comes from, and so means an encrypted file system. */
  readonly given: boolean;
  /** `fresh`: a passphrase for the first time. Rejects with UserError; who takes it wipes it. */
  take(options?: { fresh?: boolean }): Promise<Unlocking>;
}

export interface KeySourceOptions {
  passphraseFile?: string;
  /** For a shell. */
  passphraseCommand?: string;
  recoveryKeyFile?: string;
  /** Asks a terminal, twice where `fresh`; undefined: there is none. */
  ask?: (options: { fresh: boolean }) => Promise<Uint8Array<ArrayBuffer>>;
}

/** Environment of a command that answers a passphrase: without the store's credentials. */
const SECRET_VARIABLES = /^(B2_|AWS_)/;
const MAX_PASSPHRASE_BYTES = 1024;
const MAX_FILE_BYTES = 64 * 1024;

function usage(message: string, hint: string): UserError {
  return new UserError(message, { hint, exitCode: ExitCode.usage });
}

/** The recovery key before the passphrase, file and command before the terminal. */
export function keySource(options: KeySourceOptions): KeySource {
  const { passphraseFile: file, passphraseCommand: command, recoveryKeyFile, ask } = options;
  return {
    given: file !== undefined || command !== undefined || recoveryKeyFile !== undefined,
    async take({ fresh = false } = {}) {
      if (recoveryKeyFile !== undefined && !fresh) {
        return { kind: "recovery key", bytes: readSecret(recoveryKeyFile, "a recovery key") };
      }
      return { kind: "passphrase", bytes: await passphrase(fresh) };
    },
  };

  async function passphrase(fresh: boolean): Promise<Uint8Array<ArrayBuffer>> {
    if (file !== undefined) return line(readSecret(file, "a passphrase"), file);
    if (command !== undefined) return line(await answerOf(command), "what the command printed");
    if (ask === undefined) {
      throw usage(
        fresh
          ? "a new passphrase is needed"
          : "the file system is encrypted, and no passphrase was given",
        "--passphrase-file FILE, --passphrase-command COMMAND, or run it in a terminal",
      );
    }
    return line(await ask({ fresh }), "what was typed");
  }
}

/** For what is not encrypted, or was opened already. */
export const noKey: KeySource = keySource({});

/** One that was taken elsewhere. */
export function takenKey(unlocking: Unlocking | undefined): KeySource {
  if (unlocking === undefined) return noKey;
  return { given: true, take: () => Promise.resolve(unlocking) };
}

/** What a file holds, which nobody else may read. */
function readSecret(path: string, what: string): Uint8Array<ArrayBuffer> {
  try {
    requirePrivate(path, what);
    if (Deno.statSync(path).size > MAX_FILE_BYTES) {
      throw usage(`${path} is too long for ${what}`, "is it the right file?");
    }
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw usage(`${path}, which should hold ${what}, does not exist`, "name a file that does");
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw usage(`${path}, which should hold ${what}, cannot be read`, "chown and chmod 600 it");
    }
    throw error;
  }
}

/** The one line that a passphrase is, without its end. `where` never quotes it. */
function line(bytes: Uint8Array<ArrayBuffer>, where: string): Uint8Array<ArrayBuffer> {
  let end = bytes.length;
  if (end > 0 && bytes[end - 1] === 0x0a) end--;
  if (end > 0 && bytes[end - 1] === 0x0d) end--;
  const found = bytes.slice(0, end);
  bytes.fill(0);
  const wrong = end === 0
    ? "an empty passphrase"
    : end > MAX_PASSPHRASE_BYTES
    ? `more than ${MAX_PASSPHRASE_BYTES} bytes`
    : found.some((byte) => byte === 0x0a || byte === 0)
    ? "more than one line"
    : undefined;
  if (wrong === undefined) return found;
  found.fill(0);
  throw usage(`${where}: ${wrong}`, "a passphrase is one line of 1 to 1,024 bytes");
}

/** The standard output of a command; it may ask the user on the terminal by itself. */
async function answerOf(command: string): Promise<Uint8Array<ArrayBuffer>> {
  const env = Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) => !SECRET_VARIABLES.test(name)),
  );
  const signal = AbortSignal.timeout(LIMITS.PASSPHRASE_COMMAND_MS);
  const child = new Deno.Command("sh", {
    args: ["-c", command],
    clearEnv: true,
    env,
    stdin: "inherit",
    stdout: "piped",
    stderr: "inherit",
    signal,
  }).spawn();
  const [{ success, code }, stdout] = await Promise.all([
    child.status,
    new Response(child.stdout).bytes(),
  ]);
  if (success) return stdout;
  stdout.fill(0);
  throw new UserError(
    signal.aborted
      ? `the passphrase command did not answer within ${LIMITS.PASSPHRASE_COMMAND_MS / 1000} s`
      : `the passphrase command failed with exit code ${code}`,
    { hint: "run it by hand; it has to print the passphrase, and nothing else" },
  );
}
