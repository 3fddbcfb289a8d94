/** Where somebody is signed in. */

import { ProblemError } from '../api/coffer.js';
import { formatMoment } from '../domain/dates.js';
import { actsForOthers } from '../domain/roles.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { paged } from '../ui/paged.js';

/** @import { Options, Page, PageQuery, Session, User } from '../api/coffer.js' */
/** @import { Context } from '../app.js' */

/** Sessions on a page: most people have fewer. */
const PAGE = 20;

/** One's own. @param {Context} context */
export const sessionList = ({ bank, signal }) =>
  listOf({
    signal,
    load: (query, options) => bank.sessions(query, options),
    end: (id) => bank.endSession(id),
    empty: 'You are signed in nowhere.',
  });

/**
 * Those of somebody else, with a heading; nothing where the bank does not show them.
 * @param {Context} context @param {User} user
 */
export function sessionsOf({ bank, me, signal }, user) {
  const mayEnd = me.role === 'admin' || (actsForOthers(me) && user.role === 'customer');
  const section = h('section', null, h('h2', null, 'Sessions'));
  const list = listOf({
    signal,
    load: (query, options) =>
      bank.userSessions(user.id, query, options).catch((error) => {
        if (error instanceof ProblemError && error.status < 500) section.hidden = true;
        throw error;
      }),
    end: mayEnd ? (id) => bank.endUserSession(user.id, id) : null,
    empty: 'They are signed in nowhere.',
  });
  section.append(list);
  return section;
}

/**
 * @param {{signal: AbortSignal, load: (query: PageQuery, options: Options) => Promise<Page<Session>>,
 *   end: ((id: string) => Promise<void>) | null, empty: string}} options `end`: null for those who may not
 */
function listOf({ signal, load, end, empty }) {
  const list = h('ul', { class: 'card rows', tabindex: -1, 'aria-label': 'Sessions' });
  /** @param {Session} session @param {HTMLElement} row */
  const endIt = (session, row) =>
    ask({
      title: 'End this session?',
      text: `${deviceOf(session.user_agent)} must sign in again.`,
      verb: 'End the session',
      danger: true,
      act: async () => end?.(session.id),
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
    load: (cursor, mine) => load({ cursor, limit: PAGE }, { signal: mine }),
    row: (session) => rowOf(session, end && endIt),
    empty: () => ['No sessions', empty],
  });
}

/** @param {Session} session @param {((session: Session, row: HTMLElement) => void) | null} end */
function rowOf(session, end) {
  const device = deviceOf(session.user_agent);
  const button =
    end &&
    h(
      'button',
      {
        type: 'button',
        class: 'quiet',
        'aria-label': `End the session of ${device}`,
        onclick: () => end(session, row),
      },
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
