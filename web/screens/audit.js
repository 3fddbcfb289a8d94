/** Admins and auditors: the log of what matters to security. */

import { groupDigits } from '../account_number.js';
import { formatExactMoment, formatMoment } from '../dates.js';
import { h } from '../dom.js';
import { field, select } from '../form.js';
import { paged } from '../paged.js';
import { peopleReader } from '../people.js';
import { rememberInAddress } from '../router.js';
import { staffWays } from '../staff_ways.js';

const ACTIONS = [
  'login', 'login_failed', 'login_throttled', 'access_denied', 'refresh_token_reused', 'password_changed',
  'address_changed', 'second_factor_enabled', 'second_factor_removed', 'second_factor_failed', 'session_ended',
  'sessions_ended', 'role_changed', 'user_frozen', 'user_released', 'user_closed',
  'account_frozen', 'account_released', 'account_closed', 'approval_requested', 'approval_approved', 'approval_rejected',
  'movement_reversed', 'movement_by_staff', 'proof_failed', 'confirmation_changed', 'admin_created', 'demo_filled',
  'statement_exported',
];

/** @param {string} action "user_frozen" @returns {string} "User frozen" */
const inWords = (action) => (action.charAt(0).toUpperCase() + action.slice(1)).replaceAll('_', ' ');

/** @param {import('../app.js').Context} context @returns {import('../app.js').Screen} */
export function audit(context) {
  const { bank, me, path, query, signal } = context;
  const people = peopleReader(context);
  let action = query.get('action') ?? '';
  const body = h('tbody');
  const list = paged({
    into: body,
    frame: table(body),
    signal,
    load: (cursor, mine) => bank.audit({ action, cursor }, { signal: mine }),
    row: (record) => rowOf(people, record),
    empty: () => ['No records', 'Nothing of that kind has happened.'],
  });
  const choices = [['', 'Everything'], ...ACTIONS.map((each) => [each, inWords(each)])];
  const filter = field({ name: 'action', label: 'What happened', control: select(choices, { value: action }), required: false });
  filter.control.addEventListener('change', () => {
    action = filter.control.value;
    rememberInAddress(path, { action });
    list.restart();
  });
  const content = [h('h1', null, 'Staff'), staffWays(me, path), h('div', { class: 'filters' }, filter), list];
  return { title: 'Audit log', class: 'wide', content };
}

function table(body) {
  const head = (words) => h('th', { scope: 'col' }, words);
  const columns = h('tr', null, head('No.'), head('When'), head('What'), head('Who'), head('To what'), head('From'));
  const frame = { class: 'scroller card', tabindex: 0, role: 'region', 'aria-label': 'Audit log' };
  return h('div', frame, h('table', { class: 'lines' }, h('thead', null, columns), body));
}

function rowOf(people, record) {
  return h(
    'tr',
    null,
    h('td', { class: 'amount', title: `Seal ${record.hash}` }, record.sequence),
    h('td', { class: 'date', title: formatExactMoment(record.created_at) }, formatMoment(record.created_at)),
    h('td', null, h('b', null, inWords(record.action)), record.detail && h('span', { class: 'hint' }, record.detail)),
    h('td', { title: record.actor_id }, record.actor_id ? people.name(record.actor_id) : '–'),
    h('td', { class: 'subject' }, subjectOf(record.subject)),
    h('td', null, record.address ?? '–'),
  );
}

/** An account by its number, a long id by its end, which is what differs. */
function subjectOf(subject) {
  if (!subject) return '–';
  if (/^[0-9]{14}$/.test(subject)) return h('span', { class: 'number' }, groupDigits(subject));
  return /^[0-9a-f-]{36}$/.test(subject) ? h('span', { title: subject }, `…${subject.slice(-8)}`) : subject;
}
