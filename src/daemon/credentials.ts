/**
 * The store's credentials: from the environment, or from a private file. Never from the command line,
 * never logged, never in a child's environment.
 */
import { parse } from "yaml";
import { z } from "zod";
import { ExitCode, UserError } from "../domain/errors.ts";
import type { Environment } from "./user_directories.ts";

export interface Credentials {
  keyId: string;
  key: string;
  /** For people: where they came from. */
  source: string;
}

const B2 = ["B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY"] as const;
const AWS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] as const;

function usage(message: string, hint: string): UserError {
  return new UserError(message, { hint, exitCode: ExitCode.usage });
}

/** Credentials from the environment; the pair of the store's own kind first. */
export function environmentCredentials(
  environment: Environment,
  scheme: string,
): Credentials | undefined {
  for (const [idName, keyName] of scheme === "s3" ? [AWS, B2] : [B2, AWS]) {
    const [keyId, key] = [environment(idName), environment(keyName)];
    if (keyId !== undefined && key !== undefined) {
      if (idName === AWS[0] && environment("AWS_SESSION_TOKEN") !== undefined) {
        throw usage(
          "AWS_SESSION_TOKEN is set, and temporary credentials would end under a mount",
          "use a key that lasts, and unset AWS_SESSION_TOKEN",
        );
      }
      return { keyId, key, source: `environment (${idName})` };
    }
    if (keyId !== undefined || key !== undefined) {
      const [there, missing] = keyId !== undefined ? [idName, keyName] : [keyName, idName];
      throw usage(`${there} is set, but ${missing} is not`, `set both, or neither`);
    }
  }
  return undefined;
}

/** Refuses a file with secrets (`what`) that others may read or replace. */
export function requirePrivate(path: string, what = "credentials"): void {
  const info = Deno.statSync(path);
  const uid = Deno.uid();
  if (info.uid !== null && info.uid !== uid && info.uid !== 0) {
    throw new UserError(`${path} holds ${what} and belongs to user ${info.uid}`, {
      hint: `make it yours: sudo chown ${uid} '${path}'`,
      exitCode: ExitCode.refused,
    });
  }
  if (info.mode !== null && (info.mode & 0o077) !== 0) {
    throw new UserError(
      `${path} holds ${what} and others may read it (mode ${(info.mode & 0o777).toString(8)})`,
      { hint: `chmod 600 '${path}'`, exitCode: ExitCode.refused },
    );
  }
}

const fileSchema = z.strictObject({ key_id: z.string().min(1), key: z.string().min(1) });

/** Credentials from a file: YAML with `key_id` and `key`. */
export function fileCredentials(path: string): Credentials {
  let text: string;
  try {
    requirePrivate(path);
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw usage(`the credentials file ${path} does not exist`, "write key_id and key into it");
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw usage(`the credentials file ${path} cannot be read`, `chown and chmod 600 it`);
    }
    throw error;
  }
  let data: unknown;
  try {
    data = parse(text);
  } catch (error) {
    // The parser's message quotes the text, which holds secrets.
    const line = (error as { linePos?: { line: number; col: number }[] }).linePos?.[0];
    const at = line === undefined ? path : `${path}:${line.line}:${line.col}`;
    throw usage(`${at}: not valid YAML`, "two lines are wanted: 'key_id: …' and 'key: …'");
  }
  const result = fileSchema.safeParse(data);
  if (!result.success) {
    throw usage(
      `${path} does not hold exactly the texts key_id and key`,
      "two lines are wanted: 'key_id: …' and 'key: …' (put a key of digits only in quotes)",
    );
  }
  return { keyId: result.data.key_id, key: result.data.key, source: path };
}
