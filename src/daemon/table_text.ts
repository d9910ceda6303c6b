/** Text that fits the columns of a table. Pure. */

/** A line that fits `columns`; of a longer one the end is left out. */
export function clip(line: string, columns: number): string {
  const letters = [...line];
  return letters.length <= columns ? line : `${letters.slice(0, columns - 1).join("")}…`;
}

/** A path that fits `columns`; of a longer one the beginning is left out, because names tell more. */
export function clipPath(path: string, columns: number): string {
  const letters = [...path];
  const room = Math.max(8, columns);
  return letters.length <= room ? path : `…${letters.slice(1 - room).join("")}`;
}
