/** The commands for the key of an encrypted file system: what can be typed. */
import type { Command } from "commander";
import type { CommandContext } from "./context.ts";
import { addKeyOptions } from "./key_options.ts";

export function addKeyCommands(
  program: Command,
  context: CommandContext,
  use: { finish: (code: number) => void; configure: (command: Command) => void },
): void {
  const { finish, configure } = use;
  const key = program.command("key").description("the key of an encrypted file system");
  configure(key);
  const add = (usage: string, description: string): Command => {
    const command = key.command(usage).description(description);
    configure(command);
    return addKeyOptions(
      command
        .option("--config <file>", "configuration (default ~/.config/zero/config.yml)")
        .option("--store <url>", "b2://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIRECTORY")
        .option("--cache <dir>", "its cache, if it is here; it may be mounted")
        .option("--json", "print the result as JSON"),
    );
  };

  add("export", "print the recovery key, which opens the file system without a passphrase")
    .addHelpText("after", "\nExample:\n  zero key export --store file:///mnt/usb/zero > ~/key.txt")
    .action(async (options) => {
      const { keyExportCommand } = await import("./commands/key.ts");
      finish(await keyExportCommand(context, options));
    });

  add("passphrase", "replace the passphrase; nothing is uploaded anew")
    .option("--new-passphrase-file <file>", "private file with the new one")
    .option("--new-passphrase-command <command>", "command that prints the new one")
    .action(async (options) => {
      const { keyPassphraseCommand } = await import("./commands/key.ts");
      finish(await keyPassphraseCommand(context, options));
    });
}
