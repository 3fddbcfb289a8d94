/** One request to the bank, sent again where that is safe. */

import { NetworkError, problemOf, retryAfterSeconds } from './errors.js';

/** Tries of one request, the first included. */
const MAX_TRIES = 5;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;
/** Whoever is told to wait longer than this is told so, and decides. */
const LONGEST_RETRY_AFTER_SECONDS = 20;
/** Answers that may be another one the next time. */
const PASSING = new Set([429, 502, 503, 504]);

/**
 * Sends a request. Repeats it, with growing pauses, while there is no answer or one that says "not now": only if
 * `repeatable`, that is when doing it twice is the same as doing it once.
 *
 * @param {typeof fetch} fetch
 * @param {string} url
 * @param {RequestInit} init
 * @param {{repeatable: boolean}} options
 * @returns {Promise<Response>} a success
 * @throws {NetworkError | import('./errors.js').ProblemError | DOMException} the last when `init.signal` aborts
 */
export async function send(fetch, url, init, { repeatable }) {
  for (let attempt = 1; ; attempt++) {
    const last = !repeatable || attempt === MAX_TRIES;
    let response;
    try {
      response = await fetch(url, init);
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      if (last) throw new NetworkError('The bank did not answer.', { cause });
      await pause(backoffMs(attempt), init.signal);
      continue;
    }
    if (response.ok) return response;
    const advised = retryAfterSeconds(response);
    const soon = advised === null || advised <= LONGEST_RETRY_AFTER_SECONDS;
    if (last || !PASSING.has(response.status) || !soon) throw await problemOf(response);
    await pause(Math.max(backoffMs(attempt), (advised ?? 0) * 1000), init.signal);
  }
}

/** Exponential with jitter, so that many clients that fail together do not come back together. */
function backoffMs(attempt) {
  const ceiling = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1));
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal | null} [signal]
 */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener('abort', () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
