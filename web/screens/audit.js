/** Admins and auditors: the log of what matters to security. */

import { groupDigits } from '../domain/account_number.js';
import { formatExactMoment, formatMoment, startOfDay, utcDate } from '../domain/dates.js';
import { h } from '../ui/dom.js';
import { downloadButton } from '../ui/download.js';
import { field, select, setFieldError } from '../ui/form.js';
import { paged } from '../ui/paged.js';
import { peopleReader } from '../ui/people.js';
import { rememberInAddress } from '../ui/router.js';
import { staffWays } from '../ui/staff_ways.js';
import { whenTypedOut } from '../ui/typing.js';

/** @import { AuditFilter, AuditRecord, Coffer } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child, Properties } from '../ui/dom.js' */

/** @typedef {{about: string, action: string, from: string, to: string}} Choice the days as a field has them */
/** @typedef {ReturnType<typeof peopleReader>} People */

/** Kinds that one asks for together. @type {[string, string[]][]} */
const GROUPS = [
  [
    'Signing in',
    [
      'login',
      'login_failed',
      'login_throttled',
      'second_factor_failed',
      'proof_failed',
      'refresh_token_reused',
      'session_ended',
      'sessions_ended',
    ],
  ],
  [
    'People and their rights',
    [
      'user_created',
      'note_added',
      'user_frozen',
      'user_released',
      'user_closed',
      'user_erased',
      'role_changed',
      'admin_created',
      'service_user_created',
      'password_changed',
      'password_link_created',
      'password_link_mailed',
      'password_reset',
      'address_changed',
      'address_verified',
      'second_factor_enabled',
      'second_factor_removed',
      'confirmation_changed',
      'api_key_created',
      'api_key_rotated',
      'api_key_revoked',
      'access_denied',
    ],
  ],
  [
    'Accounts',
    [
      'account_opened',
      'account_renamed',
      'account_metadata_changed',
      'account_alert_set',
      'account_notice_set',
      'account_frozen',
      'account_released',
      'account_closed',
      'limits_set',
      'own_limits_set',
    ],
  ],
  [
    'Movements and holds',
    [
      'approval_requested',
      'approval_approved',
      'approval_rejected',
      'movement_reversed',
      'movement_by_staff',
      'movement_refused',
      'hold_created',
      'hold_captured',
      'hold_released',
    ],
  ],
  [
    'Looking at others',
    [
      'account_viewed',
      'balance_viewed',
      'history_viewed',
      'transaction_viewed',
      'movements_listed',
      'holds_viewed',
      'limits_viewed',
      'statement_exported',
      'user_viewed',
      'users_listed',
      'api_keys_listed',
      'sessions_listed',
      'notes_listed',
      'events_listed',
      'events_streamed',
      'users_exported',
      'data_exported',
      'movements_exported',
      'accounts_listed',
      'approvals_listed',
      'approval_viewed',
      'audit_read',
      'record_viewed',
    ],
  ],
  [
    'The bank',
    [
      'bank_account_opened',
      'webhook_created',
      'webhook_changed',
      'webhook_deleted',
      'webhook_secret_rotated',
      'webhook_resent',
      'demo_filled',
    ],
  ],
];

const ACCOUNT = /^\d{14}$/;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @param {string} action "user_frozen" @returns {string} "User frozen" */
export const inWords = (action) => (action.charAt(0).toUpperCase() + action.slice(1)).replaceAll('_', ' ');

/** @param {Context} context @returns {Screen} */
export function audit(context) {
  const { bank, me, path, query, signal } = context;
  const people = peopleReader(context);
  const chosen = choiceOf((name) => query.get(name));
  const bar = filters(chosen);
  const body = h('tbody', { role: 'rowgroup' });
  const asked = () => filterOf(bank, chosen, bar.about);
  const list = paged({
    into: body,
    frame: table(body),
    signal,
    load: async (cursor, mine) => {
      const filter = await asked();
      // That somebody asked for nobody would be on record, and so be found.
      return filter.user_id === NOBODY
        ? { data: [], has_more: false, next_cursor: null }
        : bank.audit({ ...filter, cursor }, { signal: mine });
    },
    row: (record) => rowOf(people, record),
    empty: () => ['No records', 'Nothing of that kind has happened.'],
  });
  const change = () => {
    Object.assign(chosen, bar.values());
    setFieldError(bar.about, '');
    rememberInAddress(path, chosen);
    list.restart();
  };
  whenTypedOut(bar.element, change, signal);
  const file = async () => ({
    blob: await bank.auditFile(await asked()),
    name: `coffer-audit-${utcDate(new Date())}.csv`,
  });
  const content = [
    h('h1', null, 'Staff'),
    staffWays(me, path),
    bar.element,
    h('div', { class: 'actions no-print' }, downloadButton('CSV', file)),
    list,
  ];
  return { title: 'Audit log', class: 'wide', content };
}

/** @param {(name: string) => string | null | undefined} read @returns {Choice} */
function choiceOf(read) {
  return { about: read('about') ?? '', action: read('action') ?? '', from: read('from') ?? '', to: read('to') ?? '' };
}

/** @param {Choice} chosen */
function filters(chosen) {
  const about = field({
    name: 'about',
    label: 'Person or account',
    type: 'search',
    value: chosen.about,
    placeholder: 'E-mail address, id or account number',
    maxlength: 254,
    required: false,
  });
  const kinds = GROUPS.flatMap(([name, actions]) => [...allOf(name, actions), ...actions.map(one)]);
  const action = field({
    name: 'action',
    label: 'What happened',
    control: select([['', 'Everything'], ...kinds], { value: chosen.action }),
    required: false,
  });
  /** @param {'from' | 'to'} name @param {string} label */
  const day = (name, label) => field({ name, label, type: 'date', value: chosen[name], required: false });
  const fields = [about, action, day('from', 'From'), day('to', 'To')];
  /** @param {Event} event */
  const onsubmit = (event) => event.preventDefault();
  const element = h(
    'form',
    { class: 'filters', role: 'search', 'aria-label': 'Filter the audit log', onsubmit },
    fields,
  );
  const values = () => choiceOf((name) => fields.find(({ control }) => control.name === name)?.control.value.trim());
  return { element, about, values };
}

/** @param {string} action @returns {[string, string]} */
const one = (action) => [action, inWords(action)];

/** @param {string} name @param {string[]} actions @returns {[string, string][]} */
const allOf = (name, actions) => (actions.length > 1 ? [[actions.join(','), `${name}: all`]] : []);

/** An id that nobody has. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/**
 * What the bank is asked for. Days are local ones, and `to` is the last that counts.
 * @param {Coffer} bank
 * @param {Choice} chosen
 * @param {HTMLElement} field for what cannot be asked for
 * @returns {Promise<AuditFilter>}
 */
async function filterOf(bank, { about, action, from, to }, field) {
  const period = { action, from: from && startOfDay(from), to: to && startOfDay(to, 1) };
  const digits = about.replaceAll(' ', '');
  if (!about) return period;
  if (ACCOUNT.test(digits)) return { ...period, account_number: digits };
  if (ID.test(about)) return { ...period, user_id: about };
  const found = (await bank.users({ search: about, limit: 2 })).data;
  if (found.length === 1) return { ...period, user_id: found[0].id };
  setFieldError(
    field,
    found.length
      ? 'Several people are found by that: enter the whole e-mail address.'
      : 'Nobody is found by that. Of somebody who has left, enter the id.',
  );
  // The list is empty until it is clear who is meant.
  return { ...period, user_id: NOBODY };
}

// Roles are written out: on a small screen the style makes this no table any more, and browsers then forget.
/** @param {HTMLElement} body */
function table(body) {
  /** @param {string} words */
  const head = (words) => h('th', { role: 'columnheader', scope: 'col' }, words);
  const columns = h(
    'tr',
    { role: 'row' },
    head('No.'),
    head('When'),
    head('What'),
    head('Who'),
    head('To what'),
    head('From'),
  );
  const frame = { class: 'scroller card audit', tabindex: 0, role: 'region', 'aria-label': 'Audit log' };
  return h(
    'div',
    frame,
    h('table', { class: 'lines', role: 'table' }, h('thead', { role: 'rowgroup' }, columns), body),
  );
}

/** @param {People} people @param {AuditRecord} record */
function rowOf(people, record) {
  /** @param {Properties} attributes @param {...Child} content */
  const cell = (attributes, ...content) => h('td', { role: 'cell', ...attributes }, content);
  return h(
    'tr',
    { role: 'row' },
    cell({ class: 'amount', title: `Seal ${record.hash}` }, record.sequence),
    cell({ class: 'date', title: formatExactMoment(record.created_at) }, formatMoment(record.created_at)),
    cell(
      { class: 'event', title: requestOf(record) },
      h('b', null, inWords(record.action)),
      record.detail && h('span', { class: 'hint' }, record.detail),
    ),
    cell({ class: 'actor', title: record.actor_id }, record.actor_id ? people.name(record.actor_id) : '–'),
    cell({ class: 'subject' }, subjectOf(record.subject), aboutOf(people, record)),
    cell({ class: 'address' }, record.address ?? '–'),
  );
}

/** @param {AuditRecord} record */
function requestOf({ request_id: own, client_request_id: clients }) {
  return [own && `Request ${own}`, clients && `called ${clients} by the client`].filter(Boolean).join(', ');
}

/** An account by its number, a long id by its end, which is what differs. @param {string | null} subject */
function subjectOf(subject) {
  if (!subject) return '–';
  if (ACCOUNT.test(subject)) return h('span', { class: 'number' }, groupDigits(subject));
  return ID.test(subject) ? h('span', { title: subject }, `…${subject.slice(-8)}`) : subject;
}

/** Whose it is, where that is one; how many it is about, where those are several. @param {People} people @param {AuditRecord} record */
function aboutOf(people, { concerns }) {
  const ids = concerns.filter((each) => ID.test(each));
  if (ids.length === 1) return h('span', { class: 'hint' }, people.name(ids[0]));
  if (!concerns.length) return null;
  return h(
    'span',
    { class: 'hint', title: concerns.join('\n') },
    concerns.length === 1 ? groupDigits(concerns[0]) : `About ${concerns.length}`,
  );
}
