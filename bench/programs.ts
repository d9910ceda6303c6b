/**
 * The workloads that are programs: tar, git, npm, SQLite, dbench, PostgreSQL, each where it is
 * installed. What they work on is made once, beside the directories that are measured: a tree of the
 * machine's own header files, a repository of it, a project with its packages in npm's cache.
 */
import { run } from "../tests/harness/zero_process.ts";
import type { Contestant } from "./contestants.ts";

interface Row {
  readonly name: string;
  /** What must be installed. */
  readonly needs: string[];
  /** Not measured. $F: fixtures. In the directory that is measured. */
  readonly before?: string;
  readonly script: string;
  readonly after?: string;
  /** The row's seconds from what the script printed; by default how long it took. */
  readonly seconds?: (output: string) => number;
}

const TREE = "/usr/include";
const PACKAGE = "eslint@9";
const TIMEOUT_MS = 600_000;
const POSTGRES = `setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp`;

const rows = (scale: number): Row[] => [
  { name: "untar a source tree", needs: ["tar"], script: "tar -xf $F/tree.tar" },
  { name: "git clone", needs: ["git"], script: "git clone -q --no-hardlinks $F/repository clone" },
  { name: "git status", needs: ["git"], script: "git -C clone status --porcelain" },
  { name: "remove trees", needs: [], script: "rm -rf clone tree" },
  {
    name: "npm ci, warm cache",
    needs: ["npm", "npm-project"],
    before: "mkdir npm && cp $F/npm/package*.json npm",
    script: "cd npm && npm ci --offline --no-audit --no-fund --ignore-scripts --cache $F/npm-cache",
    after: "rm -rf npm",
  },
  ...["WAL", "DELETE"].map((mode): Row => ({
    name: `SQLite, 500 commits, ${mode}`,
    needs: ["sqlite3"],
    before: `sqlite3 sql.db 'PRAGMA journal_mode=${mode}; CREATE TABLE t (i, b)' > /dev/null`,
    script: `i=0; while [ $i -lt ${Math.round(500 * scale)} ]; do
      echo "INSERT INTO t VALUES ($i, randomblob(500));"; i=$((i + 1)); done |
      sqlite3 sql.db`,
    after: "rm -f sql.db*",
  })),
  {
    name: "dbench, 4 clients",
    needs: ["dbench"],
    before: "mkdir dbench",
    script: `dbench -D dbench -t ${Math.max(5, Math.round(10 * scale))} 4`,
    after: "rm -rf dbench",
    seconds: (output) => 1 / Number(/Throughput ([\d.]+)/.exec(output)![1]),
  },
  {
    name: "pgbench, 2 clients",
    needs: ["initdb", "pgbench", "postgres"],
    before: `mkdir -m 777 pg && cd pg && ${POSTGRES} initdb -D data -A trust -U bench >/dev/null &&
      ${POSTGRES} pg_ctl -D data -w -l log -o "-k $PWD -c listen_addresses=" start >/dev/null &&
      pgbench -h $PWD -U bench -q -i -s 2 postgres 2>/dev/null`,
    script: `cd pg && pgbench -h $PWD -U bench -c 2 -t ${Math.round(500 * scale)} postgres`,
    after: `cd pg && ${POSTGRES} pg_ctl -D data -m fast stop >/dev/null; cd .. && rm -rf pg`,
    seconds: (output) => 1 / Number(/tps = ([\d.]+)/.exec(output)![1]),
  },
];

export class Programs {
  private constructor(
    private readonly fixtures: string,
    private readonly wanted: boolean,
    private readonly installed: Set<string>,
  ) {}

  /** Makes what the programs work on, below `parent`. */
  static async prepare(parent: string, wanted: boolean): Promise<Programs> {
    const fixtures = `${parent}/fixtures`;
    const installed = new Set<string>();
    if (!wanted) return new Programs(fixtures, wanted, installed);
    await Deno.mkdir(fixtures);
    for (const name of new Set(rows(1).flatMap(({ needs }) => needs))) {
      if ((await run("sh", ["-c", `command -v ${name}`])).code === 0) installed.add(name);
    }
    await must(
      `mkdir tree && cp -r ${TREE} tree/include && tar -cf tree.tar tree && cd tree &&
       git init -q . && git add -A && git -c user.name=b -c user.email=b@b commit -qm b &&
       cd .. && git clone -q --bare tree repository && rm -rf tree`,
      fixtures,
    );
    const project = await run("sh", [
      "-c",
      `mkdir npm && cd npm && echo '{"private":true}' > package.json &&
       npm install --no-audit --no-fund --ignore-scripts --cache ../npm-cache ${PACKAGE} &&
       rm -rf node_modules && npm ci --no-audit --no-fund --ignore-scripts --cache ../npm-cache &&
       rm -rf node_modules`,
    ], { cwd: fixtures, timeoutMs: TIMEOUT_MS });
    if (project.code === 0) installed.add("npm-project");
    return new Programs(fixtures, wanted, installed);
  }

  /** Seconds per row, of the rows that can be run here. */
  async run(
    contestant: Contestant,
    { scale, wanted }: { scale: number; wanted: (row: string) => boolean },
  ): Promise<Record<string, number>> {
    const seconds: Record<string, number> = {};
    if (!this.wanted) return seconds;
    for (const row of rows(scale)) {
      if (!wanted(row.name) || !row.needs.every((name) => this.installed.has(name))) continue;
      try {
        if (row.before !== undefined) await this.#sh(contestant, row.before);
        const start = performance.now();
        const output = await this.#sh(contestant, row.script);
        seconds[row.name] = row.seconds?.(output) ?? (performance.now() - start) / 1000;
      } catch (error) {
        console.error(`${contestant.name}: ${row.name}: ${(error as Error).message}`);
      } finally {
        if (row.after !== undefined) await this.#sh(contestant, `${row.after}; true`);
      }
    }
    return seconds;
  }

  #sh(contestant: Contestant, script: string): Promise<string> {
    return must(`cd "${contestant.directory}" && ${script}`, "/", {
      as: contestant.as,
      fixtures: this.fixtures,
    });
  }
}

async function must(
  script: string,
  cwd: string,
  { as = [], fixtures = "" }: { as?: string[]; fixtures?: string } = {},
): Promise<string> {
  const [command, ...args] = [...as, "sh", "-c", script];
  const result = await run(command, args, {
    cwd,
    env: {
      F: fixtures,
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
    },
    timeoutMs: TIMEOUT_MS,
  });
  if (result.code !== 0) throw new Error(`exit code ${result.code}: ${result.stderr.slice(-500)}`);
  return result.stdout;
}
