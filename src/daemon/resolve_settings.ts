/**
 * Which value counts, and why: command line before environment before configuration before default.
 * (A policy stands between configuration and default: effective_policy.ts.)
 */
import { ExitCode, UserError } from "../domain/errors.ts";
import { type Configuration, parseConfiguration, type Written } from "./configuration.ts";
import {
  type Credentials,
  environmentCredentials,
  fileCredentials,
  requirePrivate,
} from "./credentials.ts";
import {
  environmentName,
  type KindValues,
  parseValue,
  printValue,
  type SettingName,
  SETTINGS,
  type SettingValues,
} from "./settings.ts";
import {
  absolutePath,
  defaultCacheDirectory,
  defaultConfigurationPath,
  type Environment,
} from "./user_directories.ts";

export interface ResolvedSettings {
  values: SettingValues;
  /** For people: where each value came from. */
  origins: Partial<Record<SettingName, string>>;
  credentials: Credentials | undefined;
  /** The ancestor's way to name a bucket; `store` is then undefined. */
  bucketId: string | undefined;
}

export interface SettingSources {
  /** Values as written behind flags. */
  commandLine: Partial<Record<SettingName, string>>;
  /** `--config`. */
  configurationPath: string | undefined;
  environment: Environment;
  /** Absolute; relative paths of command line and environment start here. */
  workingDirectory: string;
}

/** Reads the configuration file, if there is one. A file that was asked for must be there. */
function loadConfiguration(sources: SettingSources): Configuration | undefined {
  const { environment, workingDirectory: base } = sources;
  const asked = sources.configurationPath ?? environment("ZERO_CONFIG");
  // Without HOME there is no default place to look at.
  if (asked === undefined && environment("HOME") === undefined) return undefined;
  const path = asked === undefined
    ? defaultConfigurationPath(environment)
    : absolutePath(asked, { base, environment });
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound && asked === undefined) return undefined;
    throw new UserError(`the configuration ${path} cannot be read`, {
      hint: error instanceof Deno.errors.NotFound ? "there is no such file" : String(error),
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
  const configuration = parseConfiguration(text, path);
  if (configuration.credentials !== undefined) requirePrivate(path);
  return configuration;
}

/** Finds every value. Throws UserError that names the source of a wrong one. */
export function resolveSettings(sources: SettingSources): ResolvedSettings {
  const { environment, workingDirectory } = sources;
  const configuration = loadConfiguration(sources);
  const values: Partial<Record<SettingName, unknown>> = {};
  const origins: ResolvedSettings["origins"] = {};
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const found = candidates(name, sources, configuration)
      .find((candidate) => candidate.written !== undefined);
    if (found?.written === undefined) continue;
    const { kind } = SETTINGS[name];
    let value: KindValues[typeof kind];
    try {
      value = parseValue(kind, found.written.text);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`${found.written.where}: ${error.message}`, {
        hint: error.hint,
        exitCode: ExitCode.usage,
      });
    }
    if (kind === "path") {
      const base = found.source === "configuration" && configuration !== undefined
        ? configuration.path.replace(/\/[^/]*$/, "")
        : workingDirectory;
      value = absolutePath(String(value), { base, environment });
    }
    values[name] = value;
    origins[name] = found.source === "default"
      ? "default"
      : `${found.source} (${found.written.where})`;
  }
  const store = values.store as string | undefined;
  const bucketId = store === undefined ? configuration?.bucketId?.text : undefined;
  if (values.cache === undefined && (store !== undefined || bucketId !== undefined)) {
    values.cache = defaultCacheDirectory(store ?? `b2://${bucketId}`, environment);
    origins.cache = "default";
  }
  return {
    values: values as SettingValues,
    origins,
    credentials: findCredentials(values, environment, configuration),
    bucketId,
  };
}

function candidates(
  name: SettingName,
  sources: SettingSources,
  configuration: Configuration | undefined,
): { source: string; written: Written | undefined }[] {
  const written = (text: string | undefined, where: string): Written | undefined =>
    text === undefined ? undefined : { text, where };
  const flag = name === "mountpoint" ? "MOUNTPOINT" : `--${name.replaceAll(/[._]/g, "-")}`;
  return [
    { source: "command line", written: written(sources.commandLine[name], flag) },
    {
      source: "environment",
      written: written(sources.environment(environmentName(name)), environmentName(name)),
    },
    { source: "configuration", written: configuration?.settings[name] },
    { source: "default", written: written(SETTINGS[name].fallback, "default") },
  ];
}

function findCredentials(
  values: Partial<Record<SettingName, unknown>>,
  environment: Environment,
  configuration: Configuration | undefined,
): Credentials | undefined {
  const scheme = /^([a-z0-9]+):/.exec(String(values.store ?? "b2:"))?.[1] ?? "b2";
  if (scheme === "file") return undefined;
  const found = environmentCredentials(environment, scheme);
  if (found !== undefined) return found;
  if (values.credentials !== undefined) return fileCredentials(String(values.credentials));
  if (configuration?.credentials === undefined) return undefined;
  return { ...configuration.credentials, source: configuration.path };
}

/** One line per setting that has a value: what it is, and who said so. */
export interface ExplainedSetting {
  name: SettingName;
  value: string;
  origin: string;
}

/** Why each setting is as it is. Holds no secret. */
export function explainSettings(
  settings: Pick<ResolvedSettings, "values" | "origins">,
): ExplainedSetting[] {
  return (Object.keys(SETTINGS) as SettingName[]).flatMap((name) => {
    const value = settings.values[name];
    if (value === undefined) return [];
    return [{
      name,
      // A command may hold what it should only print.
      value: name === "passphrase.command" ? "…" : printValue(SETTINGS[name].kind, value),
      origin: settings.origins[name] ?? "default",
    }];
  });
}
