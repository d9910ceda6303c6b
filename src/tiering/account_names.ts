/** Names of users and groups, as /etc/passwd and /etc/group say them, for rules that ask for an owner. */

export interface AccountNames {
  user(uid: number): string | undefined;
  group(gid: number): string | undefined;
}

export const NO_ACCOUNTS: AccountNames = { user: () => undefined, group: () => undefined };

/** As the files say now; a file that cannot be read holds no name, and then only numbers match. */
export function readAccountNames(): AccountNames {
  const users = readNames("/etc/passwd");
  const groups = readNames("/etc/group");
  return { user: (uid) => users.get(uid), group: (gid) => groups.get(gid) };
}

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
