/** The options of commands that open encrypted file systems, and where they say the key comes from. */
import type { Command } from "commander";
import { ExitCode, UserError } from "../domain/errors.ts";
import type { KeySource } from "../daemon/key_source.ts";
import type { ResolvedSettings } from "../daemon/resolve_settings.ts";
import { absolutePath, processEnvironment } from "../daemon/user_directories.ts";
import { terminalPrompt } from "./prompt.ts";
import { requireText } from "./raw_arguments.ts";

export interface KeyOptions {
  passphraseFile?: string;
  passphraseCommand?: string;
  recoveryKeyFile?: string;
}

/** Adds `--passphrase-file`, `--passphrase-command` and (unless `fresh`) `--recovery-key-file`. */
export function addKeyOptions(command: Command, options: { fresh?: boolean } = {}): Command {
  command
    .option("--passphrase-file <file>", "private file with the passphrase, where it is encrypted")
    .option("--passphrase-command <command>", "command that prints the passphrase");
  return options.fresh
    ? command
    : command.option("--recovery-key-file <file>", "file with the recovery key, instead");
}

/** Where the key comes from: what was said nearest counts; the terminal is asked last. */
export async function keyFrom(
  settings: ResolvedSettings,
  options: KeyOptions,
): Promise<KeySource> {
  const { keySource } = await import("../daemon/key_source.ts");
  const [file, command] = (["passphrase.file", "passphrase.command"] as const).map((name) => {
    const value = settings.values[name];
    return value === undefined ? undefined : { value, rank: rankOf(settings.origins[name]) };
  });
  if (file !== undefined && command !== undefined && file.rank === command.rank) {
    throw new UserError("the passphrase has two sources, a file and a command", {
      hint: "give one of them",
      exitCode: ExitCode.usage,
    });
  }
  const fileCounts = (file?.rank ?? Infinity) < (command?.rank ?? Infinity);
  return keySource({
    passphraseFile: fileCounts ? file?.value : undefined,
    passphraseCommand: fileCounts ? undefined : command?.value,
    recoveryKeyFile: pathOf(options.recoveryKeyFile),
    ask: terminalPrompt({
      known: "Passphrase: ",
      fresh: "New passphrase (what is lost with it, nobody can bring back): ",
    }),
  });
}

/** A new passphrase, for `zero key passphrase`. */
export async function newKeyFrom(
  options: { newPassphraseFile?: string; newPassphraseCommand?: string },
): Promise<KeySource> {
  const { keySource } = await import("../daemon/key_source.ts");
  if (options.newPassphraseFile !== undefined && options.newPassphraseCommand !== undefined) {
    throw new UserError("the new passphrase has two sources, a file and a command", {
      hint: "give one of them",
      exitCode: ExitCode.usage,
    });
  }
  return keySource({
    passphraseFile: pathOf(options.newPassphraseFile),
    passphraseCommand: options.newPassphraseCommand,
    ask: terminalPrompt({ known: "New passphrase: ", fresh: "New passphrase: " }),
  });
}

function pathOf(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  return absolutePath(requireText(path), { base: Deno.cwd(), environment: processEnvironment });
}

const SOURCES = ["command line", "environment", "configuration"];

function rankOf(origin: string | undefined): number {
  const rank = SOURCES.findIndex((source) => origin?.startsWith(source));
  return rank < 0 ? SOURCES.length : rank;
}
