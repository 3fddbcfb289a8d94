/** Fields that act while one types. */

/** How long somebody must stop typing before the bank is asked. */
const PAUSE_MS = 300;

/**
 * Calls `act` after a choice in `element`, and a little after the last letter typed in it. Never once the screen is left:
 * it would change the address of the next one.
 * @param {HTMLElement} element
 * @param {() => void} act
 * @param {AbortSignal} signal when the screen is left
 */
export function whenTypedOut(element, act, signal) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  element.addEventListener('input', ({ target }) => {
    clearTimeout(timer);
    const isTyped = target instanceof HTMLInputElement && target.type === 'search';
    timer = setTimeout(act, isTyped ? PAUSE_MS : 0);
  });
  signal.addEventListener('abort', () => clearTimeout(timer));
}
