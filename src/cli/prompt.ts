/**
 * Asks for a passphrase on the controlling terminal, without echo. The terminal is put back whatever
 * happens; what was typed is bytes, so that it can be wiped, and is shown nowhere.
 */
import { ExitCode, UserError } from "../domain/errors.ts";

const ENTER = [0x0a, 0x0d];
const ERASE = [0x08, 0x7f];
const KILL_LINE = 0x15;
const END_OF_FILE = 0x04;
const INTERRUPT = 0x03;
const MAX_BYTES = 1024;

/** The terminal of this process, if it has one. */
function openTerminal(): Deno.FsFile | undefined {
  try {
    return Deno.openSync("/dev/tty", { read: true, write: true });
  } catch {
    return undefined; // there is none: whoever asks says so
  }
}

/** What asks a terminal for a passphrase, twice where it is a new one; undefined where there is none. */
export function terminalPrompt(
  questions: { known: string; fresh: string },
): ((options: { fresh: boolean }) => Promise<Uint8Array<ArrayBuffer>>) | undefined {
  const terminal = openTerminal();
  if (terminal === undefined) return undefined;
  terminal.close();
  return ({ fresh }) => Promise.resolve(ask(questions, fresh));
}

function ask(questions: { known: string; fresh: string }, fresh: boolean): Uint8Array<ArrayBuffer> {
  if (!fresh) return askOnce(questions.known);
  const first = askOnce(questions.fresh);
  const second = askOnce("The same once more: ");
  const same = first.length === second.length && first.every((byte, i) => byte === second[i]);
  second.fill(0);
  if (same) return first;
  first.fill(0);
  throw new UserError("the two passphrases differ", {
    hint: "nothing was changed; try again",
    exitCode: ExitCode.usage,
  });
}

function askOnce(question: string): Uint8Array<ArrayBuffer> {
  const terminal = openTerminal();
  if (terminal === undefined) {
    throw new UserError("there is no terminal to ask for the passphrase", {
      hint: "--passphrase-file FILE or --passphrase-command COMMAND",
      exitCode: ExitCode.usage,
    });
  }
  const write = (text: string) => void terminal.writeSync(new TextEncoder().encode(text));
  try {
    terminal.setRaw(true);
    write(question);
    return readLine(terminal);
  } finally {
    terminal.setRaw(false);
    write("\r\n");
    terminal.close();
  }
}

/** Bytes up to Enter. Backspace takes back a character, Ctrl-U everything, Ctrl-C gives up. */
function readLine(terminal: Deno.FsFile): Uint8Array<ArrayBuffer> {
  const line = new Uint8Array(MAX_BYTES);
  const byte = new Uint8Array(1);
  let length = 0;
  const take = () => {
    const typed = line.slice(0, length);
    line.fill(0);
    return typed;
  };
  while (true) {
    const got = terminal.readSync(byte);
    const [value] = byte;
    if (got === null || got === 0 || value === END_OF_FILE || ENTER.includes(value)) return take();
    if (value === INTERRUPT) {
      line.fill(0);
      throw new UserError("no passphrase: interrupted", { exitCode: ExitCode.usage });
    }
    if (value === KILL_LINE) length = 0;
    else if (ERASE.includes(value)) {
      // All bytes of a character in UTF-8: those that go on begin with the bits 10.
      do length = Math.max(0, length - 1); while (length > 0 && (line[length] & 0xc0) === 0x80);
    } else if (length < MAX_BYTES) line[length++] = value;
    byte[0] = 0;
  }
}
