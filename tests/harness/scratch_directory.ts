/** A directory that is gone when the test is, however it ends. */
export function withDirectory(body: (path: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const path = await Deno.makeTempDir({ prefix: "zero-test-" });
    try {
      await body(path);
    } finally {
      await Deno.remove(path, { recursive: true });
    }
  };
}
