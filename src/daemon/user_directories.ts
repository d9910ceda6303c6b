/** Where a user's files lie, by the XDG rules, and how `~` is written out. Reads the given environment only. */
import { ExitCode, UserError } from "../domain/errors.ts";

/** Looks up an environment variable; empty counts as absent. */
export type Environment = (name: string) => string | undefined;

export const processEnvironment: Environment = (name) => Deno.env.get(name) || undefined;

export function homeDirectory(environment: Environment): string {
  const home = environment("HOME");
  if (home === undefined || !home.startsWith("/")) {
    throw new UserError("HOME is not set to an absolute path", {
      hint: "set HOME, or give every path in full (--config, --cache)",
      exitCode: ExitCode.usage,
    });
  }
  return home.replace(/\/+$/, "") || "/";
}

/** `$XDG_CONFIG_HOME/zero/config.yml`, by default below ~/.config. */
export function defaultConfigurationPath(environment: Environment): string {
  const base = environment("XDG_CONFIG_HOME") ?? `${homeDirectory(environment)}/.config`;
  return `${base}/zero/config.yml`;
}

/** The cache directory of a store that was given none: `~/.local/share/zero/<name of the store>`. */
export function defaultCacheDirectory(store: string, environment: Environment): string {
  const base = environment("XDG_DATA_HOME") ?? `${homeDirectory(environment)}/.local/share`;
  const name = store.replace(/\?.*$/, "").replace(/^([a-z0-9+]+):\/+/i, "$1-").replace(
    /[^A-Za-z0-9._-]+/g,
    "-",
  )
    .replace(/^[-.]+|[-.]+$/g, "");
  return `${base}/zero/${name}`;
}

/** An absolute path without `.`, `..` and doubled slashes; `~/` is the home directory. Follows no links. */
export function absolutePath(
  path: string,
  options: { base: string; environment: Environment },
): string {
  const expanded = path === "~" || path.startsWith("~/")
    ? homeDirectory(options.environment) + path.slice(1)
    : path;
  const parts: string[] = [];
  for (const part of `${expanded.startsWith("/") ? "" : options.base}/${expanded}`.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** Whether `path` is `directory` or below it; both absolute and normal. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}
