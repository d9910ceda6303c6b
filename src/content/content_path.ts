/** Where content files lie: `content/<2 hex>/<2 hex>/<inode>.<incarnation>`, 4096 consecutive inodes a folder. */

/** The two folder names of an inode's content, `aa/bb`. */
export function contentFolder(inode: number): string {
  const leaf = Math.floor(inode / 4096) & 0xff;
  const top = Math.floor(inode / (4096 * 256)) & 0xff;
  return `${top.toString(16).padStart(2, "0")}/${leaf.toString(16).padStart(2, "0")}`;
}

export function contentName(inode: number, incarnation: number): string {
  return `${inode}.${incarnation}`;
}

/** Where the content file of an inode lies, below the `content` directory of a cache. */
export function contentPath(content: string, inode: number, incarnation: number): string {
  return `${content}/${contentFolder(inode)}/${contentName(inode, incarnation)}`;
}

/** The inverse of `contentName`; undefined for a file that is none of ours. */
export function parseContentName(
  name: string,
): { inode: number; incarnation: number } | undefined {
  const match = /^([1-9]\d{0,15})\.([1-9]\d{0,15})$/.exec(name);
  return match === null ? undefined : { inode: Number(match[1]), incarnation: Number(match[2]) };
}
