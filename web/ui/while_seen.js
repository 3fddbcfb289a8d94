/** Work that is only worth doing while somebody can see its outcome. */

/**
 * Begins the work when the page can be seen, and ends it by its signal when the page is hidden or the screen is left.
 * @param {AbortSignal} signal when the screen is left
 * @param {(signal: AbortSignal) => void} work
 */
export function whileSeen(signal, work) {
  let round = new AbortController();
  const begin = () => {
    round.abort();
    round = new AbortController();
    if (!document.hidden && !signal.aborted) work(round.signal);
  };
  document.addEventListener('visibilitychange', begin, { signal });
  signal.addEventListener('abort', () => round.abort(), { once: true });
  begin();
}
