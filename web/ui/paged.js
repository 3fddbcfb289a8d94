/** A list that grows while one scrolls, page by page. */

import { flat, h } from './dom.js';
import { empty as emptyState, partFailure, skeleton } from './states.js';

/** @import { Page } from '../api/coffer.js' */
/** @import { Child } from './dom.js' */

/**
 * @template T
 * @param {object} options
 * @param {HTMLElement} options.into where rows go: a `tbody`, a `ul`
 * @param {HTMLElement} [options.frame] what is hidden while there are no rows; `into` if left out
 * @param {(cursor: string | null | undefined, signal: AbortSignal) => Promise<Page<T>>} options.load
 * @param {(item: T, previous: T | undefined) => Child} options.row
 * @param {() => [string, string]} options.empty title and text when there is nothing
 * @param {AbortSignal} options.signal when the screen is left
 * @returns {HTMLElement & {restart: () => void, refresh: () => void}} `restart` begins anew; `refresh` reads the first page
 *   anew and leaves what is shown until it is there, or for good while more than that page is shown
 */
export function paged({ into, frame = into, load, row, empty, signal }) {
  const foot = h('div', { class: 'list-foot' });
  const list = h('div', { class: 'paged' }, frame, foot);
  let round = new AbortController();
  /** @type {string | null | undefined} */
  let cursor;
  /** @type {T | undefined} */
  let previous;
  let pages = 0;

  const fetchPage = async () => {
    const { signal: mine } = round;
    const [hadFocus, before] = [foot.contains(document.activeElement), into.childElementCount];
    foot.replaceChildren(skeleton(before ? 1 : 5));
    try {
      const page = await load(cursor, mine);
      if (!mine.aborted) show(page);
    } catch (error) {
      if (!mine.aborted) foot.replaceChildren(partFailure(error, fetchPage));
    }
    if (hadFocus && !mine.aborted) focusFrom(before);
  };

  /** Where reading goes on: at this row, at the button to try again, or at the words for nothing. @param {number} index */
  const focusFrom = (index) => {
    const next = into.children[index] ?? foot.querySelector('button') ?? list;
    if (!(next instanceof HTMLElement)) return;
    if (next.tagName !== 'BUTTON') next.tabIndex = -1;
    next.focus({ preventScroll: true });
  };

  /** @param {Page<T>} page */
  const show = (page) => {
    pages += 1;
    for (const item of page.data) {
      into.append(...flat(row(item, previous)));
      previous = item;
    }
    frame.hidden = !into.childElementCount;
    cursor = page.next_cursor;
    if (page.has_more) return offerMore(page.data.length === 0);
    foot.replaceChildren(into.childElementCount ? '' : emptyState(...empty()));
  };

  /**
   * A filter may leave nothing of a page although more follow: then the next one is read at once.
   * @param {boolean} pageWasEmpty
   */
  const offerMore = (pageWasEmpty) => {
    if (pageWasEmpty) return fetchPage();
    const button = h('button', { type: 'button', class: 'secondary', onclick: fetchPage }, 'Show more');
    foot.replaceChildren(button);
    const whenSeen = new IntersectionObserver(
      ([entry]) => {
        if (!entry.isIntersecting) return;
        whenSeen.disconnect();
        if (button.isConnected) fetchPage();
      },
      { rootMargin: '400px' },
    );
    whenSeen.observe(button);
  };

  const restart = () => {
    round.abort();
    round = new AbortController();
    clear();
    frame.hidden = true;
    fetchPage();
  };
  const clear = () => {
    cursor = previous = undefined;
    pages = 0;
    into.replaceChildren();
  };
  const refresh = async () => {
    const { signal: mine } = round;
    // Who reads on further down must not lose the place.
    if (pages !== 1) return;
    const page = await load(undefined, mine).catch(() => null);
    if (!page || mine.aborted || pages !== 1) return;
    const at = [...into.children].findIndex((each) => each.contains(document.activeElement));
    clear();
    show(page);
    if (at !== -1) focusFrom(at);
  };
  signal.addEventListener('abort', () => round.abort());
  restart();
  return Object.assign(list, { restart, refresh });
}
