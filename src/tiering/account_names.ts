/** Names of users and groups, as /etc/passwd and /etc/group say them, for rules that ask for an owner. */

export interface AccountNames {
  user(uid: number): string | undefined;
  group(gid: number): string | undefined;
  /** The numbers that go by a name. */
  uids(name: string): number[];
  gids(name: string): number[];
}

export const NO_ACCOUNTS: AccountNames = {
  user: () => undefined,
  group: () => undefined,
  uids: () => [],
  gids: () => [],
};

/** As the files say now; a file that cannot be read holds no name, and then only numbers match. */
export function readAccountNames(): AccountNames {
  const users = readNames("/etc/passwd");
  const groups = readNames("/etc/group");
  return {
    user: (uid) => users.get(uid),
    group: (gid) => groups.get(gid),
    uids: (name) => numbersOf(users, name),
    gids: (name) => numbersOf(groups, name),
  };
}

const numbersOf = (names: ReadonlyMap<number, string>, wanted: string) =>
  [...names].filter(([, name]) => name === wanted).map(([id]) => id);

function readNames(path: string): Map<number, string> {
  const names = new Map<number, string>();
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) {
      return names;
    }
    throw error;
  }
  for (const line of text.split("\n")) {
    const [name, , id] = line.split(":");
    if (/^\d+$/.test(id ?? "") && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}
