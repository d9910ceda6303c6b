/** Tells one start of the machine from another: what lives in processes does not outlive it. */

/** The kernel's random id of this start; "unknown" where it does not say, as if it had never restarted. */
export function bootId(): string {
  try {
    return Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) {
      return "unknown";
    }
    throw error;
  }
}
