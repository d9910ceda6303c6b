/**
 * What the benchmark of transfers has another process do: the SDK as a careful program would use it,
 * with pieces and parallelism as given, and the reading of one byte. Prints one JSON object.
 *
 *   upload FILE PREFIX PIECE PARALLEL          objects of PIECE bytes
 *   download FILE PREFIX PIECE PARALLEL        writes them to FILE, and has it on the disk
 *   upload-each DIRECTORY PREFIX PARALLEL      an object for each file
 *   download-each DIRECTORY PREFIX PARALLEL    a file for each object of the last upload-each, on the disk
 *   range KEY BYTES TIMES COUNT                ranged GETs of different pieces of COUNT, one after another
 *   first-byte FILE                            open, and read one byte
 *
 * The store comes from ENDPOINT, REGION, BUCKET, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Loading
 * the SDK and the first connection are not counted.
 */
import { Agent } from "node:http";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import {
  GetObjectCommand,
  HeadBucketCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";

const [action, ...rest] = Deno.args;
const Bucket = Deno.env.get("BUCKET");

const client = new S3Client({
  endpoint: Deno.env.get("ENDPOINT"),
  region: Deno.env.get("REGION"),
  forcePathStyle: true,
  maxAttempts: 1,
  requestChecksumCalculation: "WHEN_REQUIRED",
  responseChecksumValidation: "WHEN_REQUIRED",
  requestHandler: new NodeHttpHandler({
    httpAgent: new Agent({ keepAlive: true, maxSockets: 64 }),
  }),
});

async function inParallel(count: number, parallel: number, work: (at: number) => Promise<void>) {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

async function put(key: string, body: Uint8Array): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket, Key: key, Body: body }));
}

async function get(key: string, range?: string): Promise<Uint8Array> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: key, Range: range }));
  return await Body!.transformToByteArray();
}

function readAt(file: Deno.FsFile, offset: number, into: Uint8Array): number {
  file.seekSync(offset, Deno.SeekMode.Start);
  let got = 0;
  for (let count; got < into.length && (count = file.readSync(into.subarray(got))) !== null;) {
    got += count;
  }
  return got;
}

function writeAt(file: Deno.FsFile, offset: number, bytes: Uint8Array): void {
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}

async function timed(work: () => Promise<void>): Promise<{ seconds: number }> {
  await client.send(new HeadBucketCommand({ Bucket })).catch(() => {}); // only a connection
  const start = performance.now();
  await work();
  return { seconds: (performance.now() - start) / 1000 };
}

const actions: Record<string, () => Promise<unknown>> = {
  upload: async () => {
    const [path, prefix, piece, parallel] = [rest[0], rest[1], Number(rest[2]), Number(rest[3])];
    using file = Deno.openSync(path, { read: true });
    const count = Math.ceil(file.statSync().size / piece);
    return await timed(() =>
      inParallel(count, parallel, async (at) => {
        const bytes = new Uint8Array(piece);
        await put(`${prefix}/${at}`, bytes.subarray(0, readAt(file, at * piece, bytes)));
      })
    );
  },
  download: async () => {
    const [path, prefix, piece, parallel] = [rest[0], rest[1], Number(rest[2]), Number(rest[3])];
    using file = Deno.openSync(`${path}.down`, { write: true, create: true, truncate: true });
    const count = Math.ceil(Deno.statSync(path).size / piece);
    return await timed(async () => {
      await inParallel(count, parallel, async (at) => {
        writeAt(file, at * piece, await get(`${prefix}/${at}`));
      });
      await file.syncData();
    });
  },
  "upload-each": async () => {
    const [directory, prefix, parallel] = [rest[0], rest[1], Number(rest[2])];
    const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
    return await timed(() =>
      inParallel(names.length, parallel, async (at) => {
        await put(`${prefix}/${names[at]}`, Deno.readFileSync(`${directory}/${names[at]}`));
      })
    );
  },
  "download-each": async () => {
    const [directory, prefix, parallel] = [rest[0], rest[1], Number(rest[2])];
    const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
    Deno.mkdirSync(`${directory}.down`);
    return await timed(() =>
      inParallel(names.length, parallel, async (at) => {
        const bytes = await get(`${prefix}/${names[at]}`);
        using file = Deno.openSync(`${directory}.down/${names[at]}`, {
          write: true,
          createNew: true,
        });
        file.writeSync(bytes);
        await file.syncData();
      })
    );
  },
  range: async () => {
    const [prefix, bytes, times, count] = [rest[0], ...rest.slice(1).map(Number)] as const;
    const each: number[] = [];
    for (let at = 0; at <= times; at++) {
      const { seconds } = await timed(async () => {
        await get(`${prefix}/${at % count}`, `bytes=0-${bytes - 1}`);
      });
      // The first one opens the connection.
      if (at > 0) each.push(seconds);
    }
    return { each };
  },
  "first-byte": async () => {
    const start = performance.now();
    using file = await Deno.open(rest[0], { read: true });
    await file.read(new Uint8Array(1));
    return { seconds: (performance.now() - start) / 1000 };
  },
};

console.log(JSON.stringify(await actions[action]()));
client.destroy();
