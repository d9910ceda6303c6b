/** Rare calls on the process itself, at the start of the daemon: no core dumps, standard streams. */
import { Errno } from "../domain/errno.ts";

const library = Deno.dlopen("libc.so.6", {
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  dup2: { parameters: ["i32", "i32"], result: "i32" },
});

const RLIMIT_CORE = 4;

/** Forbids core dumps of this process and its children: they would hold secrets and content. 0 or -1. */
export function forbidCoreDumps(): number {
  return library.symbols.setrlimit(RLIMIT_CORE, new Uint8Array(16));
}

/** Makes descriptor `target` mean what `source` means. 0, or a negative errno (always EBADF: the others cannot happen). */
export function replaceDescriptor(source: number, target: number): number {
  return library.symbols.dup2(source, target) < 0 ? -Errno.EBADF : 0;
}
