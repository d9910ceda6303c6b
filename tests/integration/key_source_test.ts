/** Where passphrases come from: private files and commands, one line, and nothing of it is ever repeated. */
import assert from "node:assert/strict";
import { decodeMountRequest, encodeMountRequest } from "../../src/daemon/background.ts";
import { keySource, type KeySourceOptions } from "../../src/daemon/key_source.ts";
import type { MountRequest } from "../../src/daemon/mount_request.ts";

const CANARY = "canary7passphrase";

async function withFile(
  content: string,
  body: (path: string) => Promise<void>,
  mode = 0o600,
): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, content);
    await Deno.chmod(path, mode);
    await body(path);
  } finally {
    await Deno.remove(path);
  }
}

async function taken(options: KeySourceOptions, fresh = false): Promise<string> {
  return new TextDecoder().decode((await keySource(options).take({ fresh })).bytes);
}

async function refused(
  options: KeySourceOptions,
  expected: { code: number; message: RegExp; hint: RegExp },
): Promise<void> {
  await assert.rejects(taken(options), (error) => {
    const { message, hint, exitCode } = error as {
      message: string;
      hint: string;
      exitCode: number;
    };
    assert.match(message, expected.message);
    assert.match(hint, expected.hint);
    assert.equal(exitCode, expected.code);
    assert.ok(!`${Deno.inspect(error)}`.includes(CANARY));
    return true;
  });
}

Deno.test("a passphrase is the one line of a file, with or without its end", async () => {
  for (const end of ["", "\n", "\r\n"]) {
    await withFile(`${CANARY} with spaces ${end}`, async (passphraseFile) => {
      assert.equal(await taken({ passphraseFile }), `${CANARY} with spaces `);
    });
  }
});

Deno.test("a file that others may read, or that holds no passphrase, is refused", async () => {
  const one = { code: 2, hint: /one line of 1 to 1,024 bytes/ };
  await withFile("", (file) => refused({ passphraseFile: file }, { ...one, message: /an empty/ }));
  await withFile(
    "\n",
    (file) => refused({ passphraseFile: file }, { ...one, message: /an empty/ }),
  );
  await withFile(
    `${CANARY}\n${CANARY}\n`,
    (file) => refused({ passphraseFile: file }, { ...one, message: /more than one line/ }),
  );
  await withFile(
    CANARY.repeat(100),
    (file) => refused({ passphraseFile: file }, { ...one, message: /more than 1024 bytes/ }),
  );
  await withFile(CANARY, (file) =>
    refused({ passphraseFile: file }, {
      code: 3,
      message: /holds a passphrase and others may read it \(mode 640\)/,
      hint: /chmod 600/,
    }), 0o640);
  await refused({ passphraseFile: "/nowhere/at/all" }, {
    code: 2,
    message: /\/nowhere\/at\/all, which should hold a passphrase, does not exist/,
    hint: /name a file/,
  });
});

Deno.test("a passphrase is what a command prints; the store's credentials are not in its environment", async () => {
  assert.equal(await taken({ passphraseCommand: `echo '${CANARY}'` }), CANARY);
  const names = ["B2_APPLICATION_KEY", "AWS_SECRET_ACCESS_KEY"];
  for (const name of names) Deno.env.set(name, "a secret of the store");
  try {
    assert.equal(await taken({ passphraseCommand: "env | grep -c 'of the store' || :" }), "0");
  } finally {
    for (const name of names) Deno.env.delete(name);
  }
  await refused({ passphraseCommand: `echo ${CANARY}; exit 3` }, {
    code: 1,
    message: /the passphrase command failed with exit code 3/,
    hint: /by hand/,
  });
});

Deno.test("without any source a terminal is asked, and without a terminal the way out is told", async () => {
  const asked: boolean[] = [];
  const ask = ({ fresh }: { fresh: boolean }) => {
    asked.push(fresh);
    return Promise.resolve(new TextEncoder().encode("typed"));
  };
  assert.equal(await taken({ ask }), "typed");
  assert.equal(await taken({ ask }, true), "typed");
  assert.deepEqual(asked, [false, true]);
  assert.equal(keySource({ ask }).given, false);
  await refused({}, { code: 2, message: /no passphrase was given/, hint: /--passphrase-file/ });
});

Deno.test("a recovery key counts before a passphrase, but is no new passphrase", async () => {
  await withFile("ZERO1-…", async (recoveryKeyFile) => {
    const source = keySource({ recoveryKeyFile, passphraseCommand: "echo other" });
    assert.equal((await source.take()).kind, "recovery key");
    assert.equal((await source.take({ fresh: true })).kind, "passphrase");
  });
});

Deno.test("what opens a file system travels to the daemon as bytes, and is wiped on both sides", () => {
  const bytes = Uint8Array.of(0x0a, 0, 0xff, 0x22, 0x7d);
  const request = {
    mountpoint: "/mnt",
    store: "file:///s",
    unlocking: { kind: "passphrase", bytes: bytes.slice() },
  } as unknown as MountRequest;
  const sent = encodeMountRequest(request);
  assert.deepEqual([...request.unlocking!.bytes], [0, 0, 0, 0, 0]);
  const { unlocking, ...rest } = decodeMountRequest(sent);
  assert.deepEqual(unlocking, { kind: "passphrase", bytes });
  assert.deepEqual(rest, { mountpoint: "/mnt", store: "file:///s" });
  assert.ok(sent.every((byte) => byte === 0));
  const plain = { ...request, unlocking: undefined } as MountRequest;
  assert.equal(decodeMountRequest(encodeMountRequest(plain)).unlocking, undefined);
});
