import assert from "node:assert/strict";
import { startB2Simulator } from "../harness/b2_simulator.ts";

const root = new URL("../../", import.meta.url).pathname;

Deno.test("nothing in the environment or in ~/.aws changes what the store does", async () => {
  const home = await Deno.makeTempDir({ prefix: "zero-home-" });
  const simulator = startB2Simulator();
  const trap = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const elsewhere = `http://127.0.0.1:${trap.addr.port}`;
    await Deno.mkdir(`${home}/.aws`);
    const profile = `region = ap-south-1\nendpoint_url = ${elsewhere}\nmax_attempts = 9\n`;
    await Deno.writeTextFile(`${home}/.aws/config`, `[default]\n${profile}`);
    await Deno.writeTextFile(`${home}/.aws/credentials`, "[default]\naws_access_key_id = other\n");
    const { keyId, applicationKey } = simulator.credentials;
    const program = `
      import { openObjectStore } from "${root}src/object_store/open_store.ts";
      import { systemClock as clock } from "${root}src/runtime/clock.ts";
      import { systemRandom as random } from "${root}src/runtime/random.ts";
      const credentials = await new Response(Deno.stdin.readable).json();
      const store = await openObjectStore(${
      JSON.stringify(simulator.url())
    }, { clock, random, credentials });
      await store.put("a", new Uint8Array(3));
      console.log((await store.get("a")).length);
      store.close();
    `;
    await Deno.writeTextFile(`${home}/program.ts`, program);
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        `--config=${root}deno.json`,
        `--allow-net=${new URL(simulator.endpoint).host}`,
        "--allow-env",
        "--allow-sys",
        // A look into ~/.aws would be an error.
        `--deny-read=${home}/.aws`,
        `${home}/program.ts`,
      ],
      env: {
        HOME: home,
        DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
        AWS_ENDPOINT_URL: elsewhere,
        AWS_ENDPOINT_URL_S3: elsewhere,
        AWS_REGION: "eu-nowhere-1",
        AWS_PROFILE: "absent",
        AWS_MAX_ATTEMPTS: "9",
        AWS_ACCESS_KEY_ID: "other",
        AWS_SECRET_ACCESS_KEY: "other",
        AWS_USE_FIPS_ENDPOINT: "true",
        AWS_REQUEST_CHECKSUM_CALCULATION: "when_supported",
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(JSON.stringify({ keyId, applicationKey })));
    await writer.close();
    const { stdout, stderr } = await child.output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.match(said, /^3$/m);
    assert.deepEqual(simulator.counts(), { put: 1, get: 1 });
  } finally {
    trap.close();
    await simulator.stop();
    await Deno.remove(home, { recursive: true });
  }
});
