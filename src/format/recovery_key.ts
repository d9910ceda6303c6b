/**
 * The recovery key: the master key as people print and type it (docs/FORMAT.md, "Recovery key"), with a
 * checksum against slips. Whoever has it needs no passphrase. Spaces, dashes, line ends and case do not
 * matter, nor whether O is written for 0 and I or L for 1; lines that begin with # are for people.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { FormatError, wellFormed } from "./format_error.ts";
import { KEY_BYTES, type SecretMaterial } from "./secrets.ts";

/** Digits of base 32 that cannot be mistaken for each other. */
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX = "ZERO1";
/** `PREFIX` as it is read: O is 0. */
const READ_PREFIX = "ZER01";
const ID_PART = 4;
const CHECK_PART = 4;
const PAYLOAD = KEY_BYTES + ID_PART + CHECK_PART;
const SYMBOLS = PAYLOAD * 8 / 5;
const GROUP = 4;
const WHAT = "the recovery key";

/** One line, such as ZERO1-AAAA-BBBB-… */
export function printRecoveryKey({ fileSystem, master }: SecretMaterial): string {
  const payload = new Uint8Array(PAYLOAD);
  payload.set(master);
  payload.set(fileSystem.subarray(0, ID_PART), KEY_BYTES);
  payload.set(checksum(payload), KEY_BYTES + ID_PART);
  let symbols = "";
  for (let bit = 0; bit < PAYLOAD * 8; bit += 5) {
    const pair = (payload[bit >> 3] << 8) | (payload[(bit >> 3) + 1] ?? 0);
    symbols += DIGITS[(pair >> (11 - (bit & 7))) & 31];
  }
  payload.fill(0);
  const groups = symbols.match(new RegExp(`.{${GROUP}}`, "g"))!;
  return [PREFIX, ...groups].join("-");
}

/** Throws FormatError that says what is wrong, and quotes nothing of it. */
export function parseRecoveryKey(text: string, fileSystem: Uint8Array): SecretMaterial {
  const symbols = text.split("\n").filter((line) => !line.trimStart().startsWith("#")).join("")
    .toUpperCase().replaceAll(/[\s-]/g, "").replaceAll("O", "0").replaceAll(/[IL]/g, "1");
  wellFormed(
    symbols.startsWith(READ_PREFIX),
    () => `${WHAT} does not begin with ${PREFIX}`,
  );
  const body = symbols.slice(READ_PREFIX.length);
  wellFormed(
    body.length === SYMBOLS,
    () => `${WHAT} has ${SYMBOLS} letters and digits behind ${PREFIX}, this one ${body.length}`,
  );
  const payload = new Uint8Array(PAYLOAD);
  for (let i = 0; i < SYMBOLS; i++) {
    const value = DIGITS.indexOf(body[i]);
    wellFormed(value >= 0, () => `${WHAT} has a sign that it cannot have, in group ${group(i)}`);
    const bit = i * 5;
    const shifted = value << (11 - (bit & 7));
    payload[bit >> 3] |= shifted >> 8;
    if ((bit >> 3) + 1 < PAYLOAD) payload[(bit >> 3) + 1] |= shifted & 255;
  }
  const sound = Buffer.from(checksum(payload)).equals(payload.subarray(KEY_BYTES + ID_PART));
  wellFormed(sound, () => `${WHAT} does not have its checksum: a letter is wrong`);
  const id = Buffer.from(payload.subarray(KEY_BYTES, KEY_BYTES + ID_PART));
  if (!id.equals(fileSystem.subarray(0, ID_PART))) {
    throw new FormatError(
      "corrupt",
      `${WHAT} is that of file system ${id.toString("hex")}…, ` +
        `this one is ${Buffer.from(fileSystem).toString("hex")}`,
    );
  }
  const master = payload.slice(0, KEY_BYTES);
  payload.fill(0);
  return { fileSystem: fileSystem.slice(), master };
}

const group = (symbol: number) => Math.floor(symbol / GROUP) + 1;

function checksum(payload: Uint8Array): Uint8Array {
  return createHash("sha256").update("zero recovery key 1")
    .update(payload.subarray(0, KEY_BYTES + ID_PART)).digest().subarray(0, CHECK_PART);
}
