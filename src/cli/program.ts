/** The commands, their arguments and their help: what can be typed. Each action lives in commands/. */
import { Command } from "commander";
import { addPolicyCommands } from "./commands/policy.ts";
import { addKeyCommands } from "./key_program.ts";
import { addKeyOptions } from "./key_options.ts";
import { addCareCommands } from "./care_program.ts";
import type { CommandContext } from "./context.ts";

const AFTER_HELP = `
Examples:
  zero init --store b2://my-bucket/home --cache ~/.local/share/zero/home
  zero mount --store file:///mnt/usb/zero ~/Zero
  zero status ~/Zero
  zero evict ~/Zero/Films && zero ls ~/Zero/Films
  zero unmount ~/Zero

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused to protect data, 4 the store
failed, 5 done, but something is not yet in the bucket.`;

/** Builds the parser. `finish` gets the exit code of the command that ran. */
export function buildProgram(
  context: CommandContext,
  finish: (code: number) => void,
  configure: (command: Command) => void,
): Command {
  const program = new Command("zero");
  configure(program);
  program
    .description("A file system on local disk that never fills up: cold content goes to a bucket.")
    .usage("COMMAND [OPTIONS]")
    .addHelpText("after", AFTER_HELP)
    .showSuggestionAfterError(true);
  const add = (usage: string, description: string): Command => {
    const command = program.command(usage).description(description);
    configure(command);
    return command;
  };

  const init = add("init", "create a file system in an empty bucket prefix and an empty cache");
  addKeyOptions(init, { fresh: true })
    .option("--encrypt", "nobody reads names or content in the bucket without the passphrase")
    .option("--config <file>", "configuration (default ~/.config/zero/config.yml)")
    .option("--store <url>", "b2://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIRECTORY")
    .option("--cache <dir>", "cache directory on the local disk")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  zero init --store file:///mnt/usb/zero --cache ~/cache")
    .action(async (options) => {
      const { initCommand } = await import("./commands/init.ts");
      finish(await initCommand(context, options));
    });

  const mount = "mount; creates the file system where cache and prefix are empty";
  addKeyOptions(add("mount [mountpoint]", mount))
    .option("--config <file>", "configuration (default ~/.config/zero/config.yml)")
    .option("--store <url>", "b2://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIRECTORY")
    .option("--cache <dir>", "cache directory on the local disk")
    .option("--disk-target <size>", "local disk to aim at, such as 200GiB or 80%")
    .option("--policy <file>", "policy file: what stays here, what goes, and when")
    .option("--foreground", "stay attached; log to standard error too")
    .option("--take-over", "take the right to write from another mount that is gone for good")
    .option("--read-only", "follow what another mount writes, with a cache of its own")
    .addHelpText(
      "after",
      "\nExamples:\n  zero mount ~/Zero\n  zero mount --store b2://my-bucket/home --disk-target 200GiB ~/Zero",
    )
    .action(async (mountpoint: string | undefined, options) => {
      const { mountCommand } = await import("./commands/mount.ts");
      finish(await mountCommand(context, mountpoint, options));
    });

  add("unmount <mountpoint>", "upload what is dirty, then unmount; also clears a stale mount")
    .alias("umount")
    .option("--no-flush", "leave what is dirty for the next mount")
    .option("--timeout <duration>", "upload for at most so long, such as 10m")
    .option("--json", "print the result as JSON")
    .action(async (mountpoint: string, options) => {
      const { unmountCommand } = await import("./commands/unmount.ts");
      finish(await unmountCommand(context, mountpoint, options));
    });

  add("status [path]", "what is where, what is not yet safe, who waits for what")
    .option("--json", "print as JSON")
    .action(async (path: string | undefined, options) => {
      const { statusCommand } = await import("./commands/status.ts");
      finish(await statusCommand(context, path, options));
    });

  add("sync [path]", "upload everything that is dirty, and wait for it")
    .option("--json", "print the result as JSON")
    .action(async (path: string | undefined, options) => {
      const { syncCommand } = await import("./commands/sync.ts");
      finish(await syncCommand(context, path, options));
    });

  add("evict <path...>", "drop local content that is safe in the bucket (directories: all below)")
    .option("--json", "print the result as JSON")
    .action(async (paths: string[], options) => {
      const { evictCommand } = await import("./commands/evict.ts");
      finish(await evictCommand(context, paths, options));
    });

  add("recall <path...>", "bring content back from the bucket (directories: all below)")
    .option("--json", "print the result as JSON")
    .action(async (paths: string[], options) => {
      const { recallCommand } = await import("./commands/recall.ts");
      finish(await recallCommand(context, paths, options));
    });

  add("ls <path>", "list files and how much of each is on the local disk")
    .option("-R, --recursive", "directories below, too")
    .option("--json", "print as JSON")
    .action(async (path: string, options) => {
      const { lsCommand } = await import("./commands/ls.ts");
      finish(await lsCommand(context, path, options));
    });

  add(
    "pin <path...>",
    "keep content here whatever happens (directories: all below, and what comes)",
  )
    .option("--until <time>", "the pin ends by itself: a date, or +30d")
    .option("--json", "print the result as JSON")
    .action(async (paths: string[], options) => {
      const { pinCommand } = await import("./commands/pin.ts");
      finish(await pinCommand(context, paths, { ...options, pinned: true }));
    });

  add("unpin <path...>", "let content leave again")
    .option("--json", "print the result as JSON")
    .action(async (paths: string[], options) => {
      const { pinCommand } = await import("./commands/pin.ts");
      finish(await pinCommand(context, paths, { ...options, pinned: false }));
    });

  add("why <path>", "what has happened to a file, which rule decides, and what happens next")
    .option("--json", "print as JSON")
    .action(async (path: string, options) => {
      const { whyCommand } = await import("./commands/policy_preview.ts");
      finish(await whyCommand(context, path, options));
    });

  addCareCommands(program, context, { finish, configure });
  addPolicyCommands(program, context, { finish, configure });
  addKeyCommands(program, context, { finish, configure });

  const recover = "bring a file system back from its bucket alone, into an empty cache";
  addKeyOptions(add("recover", recover))
    .option("--config <file>", "configuration (default ~/.config/zero/config.yml)")
    .option("--store <url>", "b2://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIRECTORY")
    .option("--cache <dir>", "cache directory to make; with --drill, one to compare with")
    .option("--at <time>", "as it was then or before, such as 2026-01-31T12:00:00Z")
    .option("--take-over", "although another mount, gone for good, holds the bucket")
    .option("--drill", "only try it: recover into a scratch directory, compare, check some content")
    .option("--samples <number>", "files whose content a drill checks", "20")
    .option("--path <path>", "only this file or directory; leaves bucket and cache as they are …")
    .option("--to <dir>", "… and puts it here")
    .option("--json", "print the result as JSON")
    .action(async (options) => {
      const { recoverCommand } = await import("./commands/recover.ts");
      finish(await recoverCommand(context, options));
    });

  add("import <dir> [destination]", "take a directory into a mount, with all attributes and links")
    .option("--force", "replace what is there and different")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nWhat is there and equal is skipped, so the same command goes on after an interruption." +
        "\n\nExample:\n  zero import ~/Pictures ~/Zero/Pictures",
    )
    .action(async (directory: string, destination: string | undefined, options) => {
      const { importCommand } = await import("./commands/import.ts");
      finish(await importCommand(context, { directory, destination, options }));
    });

  const exporting = "put a file system, or part of it, into a plain directory, without a mount";
  addKeyOptions(add("export <path> <dir>", exporting))
    .option("--config <file>", "configuration (default ~/.config/zero/config.yml)")
    .option("--store <url>", "the bucket; without --cache, it alone is used")
    .option(
      "--cache <dir>",
      "a cache that is not mounted: newer than its bucket, and needed less from it",
    )
    .option("--at <time>", "as the bucket had it then or before, such as 2026-01-31T12:00:00Z")
    .option("--force", "replace what is there and different")
    .option(
      "--verify",
      "compare the content of files that are there already, not only size and time",
    )
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nPATH is given from the root of the file system; / is all of it. The same command goes on after\n" +
        "an interruption." +
        "\n\nExample:\n  zero export --store b2://my-bucket/home /Photos ./Photos",
    )
    .action(async (path: string, directory: string, options) => {
      const { exportCommand } = await import("./commands/export.ts");
      finish(await exportCommand(context, { path, directory, options }));
    });

  add("version", "print the version").option("--json", "print as JSON")
    .action(async (options) => {
      const { versionCommand } = await import("./commands/version.ts");
      finish(versionCommand(context, options));
    });
  return program;
}
