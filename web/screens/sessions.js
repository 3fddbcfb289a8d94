/** Where one is signed in. */

import { formatMoment } from '../domain/dates.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { paged } from '../ui/paged.js';

/** @import { Session } from '../api/coffer.js' */
/** @import { Context } from '../app.js' */

/** Sessions on a page: most people have fewer. */
const PAGE = 20;

/** @param {Context} context */
export function sessionList({ bank, signal }) {
  const list = h('ul', { class: 'card rows', tabindex: -1, 'aria-label': 'Sessions' });
  /** @param {Session} session @param {HTMLElement} row */
  const end = (session, row) =>
    ask({
      title: 'End this session?',
      text: `${deviceOf(session.user_agent)} must sign in again.`,
      verb: 'End the session',
      danger: true,
      act: () => bank.endSession(session.id),
    }).then((done) => {
      if (!done) return;
      row.remove();
      // The button that had it is gone.
      list.focus({ preventScroll: true });
      toast('The session has ended.');
    });
  return paged({
    into: list,
    signal,
    load: (cursor, mine) => bank.sessions({ cursor, limit: PAGE }, { signal: mine }),
    row: (session) => rowOf(session, end),
    empty: () => ['No sessions', 'You are signed in nowhere.'],
  });
}

/** @param {Session} session @param {(session: Session, row: HTMLElement) => void} end */
function rowOf(session, end) {
  const device = deviceOf(session.user_agent);
  const button = h(
    'button',
    { type: 'button', class: 'quiet', 'aria-label': `End the session of ${device}`, onclick: () => end(session, row) },
    'End',
  );
  const since = `Since ${formatMoment(session.created_at)} · last used ${formatMoment(session.last_used_at)} · ${session.address ?? 'unknown address'}`;
  /** @type {HTMLElement} */
  const row = h(
    'li',
    { class: 'row' },
    h(
      'div',
      null,
      h(
        'p',
        { title: session.user_agent },
        h('b', null, device, ' '),
        session.current && h('span', { class: 'chip active' }, 'this one'),
      ),
      h('p', { class: 'hint' }, since),
    ),
    !session.current && button,
  );
  return row;
}

/** The browser and system of a `User-Agent`, as far as it says; otherwise its beginning. @param {string | null} agent */
function deviceOf(agent) {
  if (!agent) return 'Unknown device';
  /** @param {[RegExp, string][]} names */
  const first = (names) => names.find(([pattern]) => pattern.test(agent))?.[1];
  const browser = first([
    [/Edg\//, 'Edge'],
    [/OPR\//, 'Opera'],
    [/Firefox\//, 'Firefox'],
    [/Chrome\//, 'Chrome'],
    [/Safari\//, 'Safari'],
  ]);
  const system = first([
    [/Android/, 'Android'],
    [/iPhone|iPad/, 'iOS'],
    [/Windows/, 'Windows'],
    [/Mac OS X/, 'macOS'],
    [/Linux/, 'Linux'],
  ]);
  return browser ? [browser, system].filter(Boolean).join(' on ') : agent.slice(0, 40);
}
