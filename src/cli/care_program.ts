/** The commands that care for bucket, cache and trash: what can be typed. Each action lives in commands/. */
import type { Command } from "commander";
import { addKeyOptions } from "./key_options.ts";
import type { CommandContext } from "./context.ts";

export function addCareCommands(
  program: Command,
  context: CommandContext,
  use: { finish: (code: number) => void; configure: (command: Command) => void },
): void {
  const { finish, configure } = use;
  const add = (parent: Command, usage: string, description: string): Command => {
    const command = parent.command(usage).description(description);
    configure(command);
    return command;
  };

  addKeyOptions(add(program, "fsck [path]", "check everything: rows, local files, and the bucket"))
    .option("--config <file>", "configuration (default ~/.config/zero/config.yml)")
    .option("--cache <dir>", "the cache to check; PATH instead names a place on a mount")
    .option("--store <url>", "where the bucket is now, if not where the cache says")
    .option("--no-bucket", "leave the bucket out")
    .option("--repair", "make right what follows from the rest (not while mounted)")
    .option("--deep", "read packs back and verify every chunk; goes on where it stopped")
    .option("--sample <percent>", "with --deep: only so many of the packs, such as 5%")
    .option("--bandwidth <rate>", "with --deep: at most so fast, such as 5MiB/s")
    .option("--restart", "with --deep: from the start")
    .option("--json", "print as JSON")
    .addHelpText(
      "after",
      "\nExit codes: 0 no problem (left), 1 problems, 3 the cache is in use, 4 the store failed.",
    )
    .action(async (path: string | undefined, options) => {
      const { fsckCommand } = await import("./commands/fsck.ts");
      finish(await fsckCommand(context, path, options));
    });

  add(program, "gc [path]", "say what in the bucket is garbage, and what it costs")
    .option("--apply", "delete it, and repack what is mostly garbage")
    .option("--force", "although it is more than a fifth of the packs, or looks wrong")
    .option("--json", "print as JSON")
    .action(async (path: string | undefined, options) => {
      const { gcCommand } = await import("./commands/gc.ts");
      finish(await gcCommand(context, path, options));
    });

  const trash = add(program, "trash", "removed and overwritten files that can be brought back");
  add(trash, "ls [path]", "list them (those that were below PATH)")
    .option("--json", "print as JSON")
    .action(async (path: string | undefined, options) => {
      const { trashListCommand } = await import("./commands/trash.ts");
      finish(await trashListCommand(context, path, options));
    });
  add(trash, "purge [path]", "say what would leave the trash for good, before its time")
    .option("--older-than <duration>", "only what has been there for so long", "0s")
    .option("--apply", "do it")
    .option("--json", "print as JSON")
    .action(async (path: string | undefined, options) => {
      const { trashPurgeCommand } = await import("./commands/trash.ts");
      finish(await trashPurgeCommand(context, path, options));
    });

  add(program, "undelete <path-or-id>", "bring a removed or overwritten file back, as evicted")
    .option("--to <path>", "under this name, which must be free")
    .option("--json", "print as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  zero undelete ~/Zero/letter.txt --to ~/Zero/letter-old.txt",
    )
    .action(async (place: string, options) => {
      const { undeleteCommand } = await import("./commands/trash.ts");
      finish(await undeleteCommand(context, place, options));
    });

  add(program, "doctor", "look at everything that a mount needs, and say what to do")
    .option("--config <file>", "configuration (default ~/.config/zero/config.yml)")
    .option("--store <url>", "b2://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIRECTORY")
    .option("--cache <dir>", "cache directory on the local disk")
    .option("--json", "print as JSON")
    .action(async (options) => {
      const { doctorCommand } = await import("./commands/doctor.ts");
      finish(await doctorCommand(context, options));
    });
}
