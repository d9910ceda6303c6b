/** The terminal that a command prints to. */

/** Columns that it has; where the output goes elsewhere, there is no bound. */
export function terminalColumns(): number {
  if (!Deno.stdout.isTerminal()) return Infinity;
  try {
    return Math.max(40, Deno.consoleSize().columns);
  } catch (error) {
    // Some terminals do not say how large they are; most have had 80 for a long time.
    if (error instanceof Error) return 80;
    throw error;
  }
}
