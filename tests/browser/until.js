/** Waiting for what happens outside a page. */

const PATIENCE_MS = 20_000;
const PAUSE_MS = 50;

/**
 * Waits until this holds, and fails when it does not come to that.
 * @param {() => unknown} holds may be asynchronous; the first true answer is returned
 * @param {string} what it waits for, as the failure says it
 */
export async function until(holds, what) {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline;) {
    const found = await holds();
    if (found) return found;
    await new Promise((later) => setTimeout(later, PAUSE_MS));
  }
  throw new Error(`it never came to this: ${what}`);
}
