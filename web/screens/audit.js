/** Admins and auditors: the log of what matters to security, in sentences, and each record whole. */

import { groupDigits } from '../domain/account_number.js';
import { isAccount, isId, nameOfAction, sentenceOf } from '../domain/audit_words.js';
import { formatDay, formatExactMoment, formatTime, startOfDay, utcDate } from '../domain/dates.js';
import { h } from '../ui/dom.js';
import { downloadButton } from '../ui/download.js';
import { filterBar } from '../ui/filter_bar.js';
import { field, select, setFieldError } from '../ui/form.js';
import { icon } from '../ui/icons.js';
import { paged } from '../ui/paged.js';
import { peopleReader } from '../ui/people.js';
import { link, rememberInAddress } from '../ui/router.js';
import { staffWays } from '../ui/staff_ways.js';

/** @import { AuditFilter, AuditRecord, Coffer } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */
/** @import { Field } from '../ui/form.js' */

/**
 * As the fields have it: people by address or id, an account by its number, and days.
 * @typedef {{about: string, actor: string, api_key_id: string, action: string, from: string, to: string}} Choice
 * @typedef {ReturnType<typeof peopleReader>} People
 */

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

const LOOKS = 'Looking at others';

/** What changed something, and not who was shown what. */
export const DEEDS = GROUPS.flatMap(([name, actions]) => (name === LOOKS ? [] : actions)).join();

/** @param {Context} context @returns {Screen} */
export function audit(context) {
  const { bank, me, path, query, signal } = context;
  const people = peopleReader(context);
  const chosen = choiceOf((name) => query.get(name));
  const fields = fieldsFor(chosen);
  const asked = () => filterOf(bank, chosen, fields);
  const list = paged({
    into: h('ul', { class: 'card rows audit', 'aria-label': 'Audit log' }),
    signal,
    load: async (cursor, mine) => {
      const filter = await asked();
      // That somebody asked for nobody would be on record, and so be found.
      return [filter.user_id, filter.actor_id].includes(NOBODY)
        ? { data: [], has_more: false, next_cursor: null }
        : bank.audit({ ...filter, cursor }, { signal: mine });
    },
    row: (record, previous) => [dayRow(record, previous), rowOf(people, record)],
    empty: () => ['No records', 'Nothing of that kind has happened.'],
  });
  const change = () => {
    Object.assign(chosen, choiceOf(bar.read));
    const { about, actor, api_key_id: key } = fields;
    for (const each of [about, actor, key]) setFieldError(each, '');
    if (chosen.api_key_id && !isId(chosen.api_key_id)) return setFieldError(key, 'Enter the whole id of a key.');
    rememberInAddress(path, chosen);
    list.restart();
  };
  const { about, action, from, to, actor, api_key_id: key } = fields;
  const bar = filterBar({
    name: 'Filter the audit log',
    usual: [about, action, from, to],
    others: [actor, key],
    change,
    signal,
  });
  const file = async () => ({
    blob: await bank.auditFile(await asked()),
    name: `coffer-audit-${utcDate(new Date())}.csv`,
  });
  const content = [
    h('h1', null, 'Audit log'),
    staffWays(me, path),
    bar,
    h('div', { class: 'actions no-print' }, downloadButton('CSV', file)),
    list,
  ];
  return { title: 'Audit log', content };
}

/** @param {(name: string) => string | null} read @returns {Choice} */
function choiceOf(read) {
  const text = (/** @type {string} */ name) => read(name) ?? '';
  return {
    about: text('about'),
    actor: text('actor'),
    api_key_id: text('api_key_id'),
    action: text('action'),
    from: text('from'),
    to: text('to'),
  };
}

/** @param {Choice} chosen */
function fieldsFor(chosen) {
  /** @param {keyof Choice} name @param {string} label @param {string} placeholder */
  const search = (name, label, placeholder) =>
    field({
      name,
      label,
      type: 'search',
      value: chosen[name],
      placeholder,
      maxlength: 254,
      required: false,
      autocomplete: 'off',
    });
  const kinds = GROUPS.flatMap(([name, actions]) => [...allOf(name, actions), ...actions.map(one)]);
  const control = select([['', 'Everything'], [DEEDS, 'All but looking at others'], ...kinds], {
    value: chosen.action,
  });
  /** @param {'from' | 'to'} name @param {string} label */
  const day = (name, label) => field({ name, label, type: 'date', value: chosen[name], required: false });
  return {
    about: search('about', 'Person or account', 'E-mail address, id or account number'),
    action: field({ name: 'action', label: 'What happened', control, required: false }),
    from: day('from', 'From'),
    to: day('to', 'To'),
    actor: search('actor', 'Done by', 'E-mail address or id'),
    api_key_id: search('api_key_id', 'By the API key, or to it', 'Its id'),
  };
}

/** @param {string} action @returns {[string, string]} */
const one = (action) => [action, nameOfAction(action)];

/** @param {string} name @param {string[]} actions @returns {[string, string][]} */
const allOf = (name, actions) => (actions.length > 1 ? [[actions.join(','), `${name}: all`]] : []);

/** An id that nobody has. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/**
 * What the bank is asked for. Days are local ones, and `to` is the last that counts.
 * @param {Coffer} bank
 * @param {Choice} chosen
 * @param {ReturnType<typeof fieldsFor>} fields for what cannot be asked for
 * @returns {Promise<AuditFilter>}
 */
async function filterOf(bank, { about, actor, api_key_id, action, from, to }, fields) {
  const digits = about.replaceAll(' ', '');
  const byAccount = isAccount(digits);
  return {
    action,
    from: from && startOfDay(from),
    to: to && startOfDay(to, 1),
    ...(api_key_id && { api_key_id }),
    ...(byAccount && { account_number: digits }),
    ...(about && !byAccount && { user_id: await idOf(bank, about, fields.about) }),
    ...(actor && { actor_id: await idOf(bank, actor, fields.actor) }),
  };
}

/** @param {Coffer} bank @param {string} typed @param {Field} field @returns {Promise<string>} the id of who was meant */
async function idOf(bank, typed, field) {
  if (isId(typed)) return typed;
  const found = (await bank.users({ search: typed, limit: 2 })).data;
  if (found.length === 1) return found[0].id;
  setFieldError(
    field,
    found.length
      ? 'Several people are found by that: enter the whole e-mail address.'
      : 'Nobody is found by that. Of somebody who has left, enter the id.',
  );
  // The list is empty until it is clear who is meant.
  return NOBODY;
}

/** @param {AuditRecord} record @param {AuditRecord | undefined} previous */
function dayRow({ created_at: at }, previous) {
  const day = formatDay(at);
  return (!previous || formatDay(previous.created_at) !== day) && h('li', { class: 'day' }, day);
}

/** The sentence, which opens to the record. @param {People} people @param {AuditRecord} record */
function rowOf(people, record) {
  const more = h('div', { class: 'record' });
  const details = h(
    'details',
    {
      // Most are never opened, and each would ask for names.
      ontoggle: () => more.firstChild || more.append(whole(people, record)),
    },
    h(
      'summary',
      null,
      h(
        'div',
        null,
        inWords(people, record),
        h('p', { class: 'hint' }, [formatTime(record.created_at), record.detail].filter(Boolean).join(' · ')),
      ),
      icon('next'),
    ),
    more,
  );
  return h('li', null, details);
}

/** What happened, as a sentence. @param {People} people @param {AuditRecord} record */
export function inWords(people, record) {
  const parts = sentenceOf(record).map((part) =>
    typeof part === 'string' ? part : h('b', null, people.plain(part.person)),
  );
  return h('p', { class: 'sentence' }, parts);
}

/** Everything that the record has. @param {People} people @param {AuditRecord} record */
function whole(people, record) {
  /** @param {string} term @param {...Child} value */
  const fact = (term, ...value) => h('div', null, h('dt', null, term), h('dd', null, value));
  /** @param {string} term @param {string | null} value */
  const code = (term, value) => value && fact(term, h('code', null, value));
  const { actor_id: actor, subject, concerns, detail } = record;
  return h(
    'dl',
    { class: 'facts' },
    fact('When', formatExactMoment(record.created_at)),
    code('Action', record.action),
    fact('Who', actor ? [people.name(actor), ' ', h('code', null, actor)] : 'Nobody was signed in'),
    subject && fact('To what', wordOf(subject)),
    concerns.length > 0 &&
      fact(
        'Concerns',
        concerns.map((word) => h('p', null, wordOf(word))),
      ),
    detail && fact('Values', detail),
    code('Address', record.address),
    code('Request', record.request_id),
    code('Called by the client', record.client_request_id),
    fact('Record', `No. ${record.sequence}`),
    code('Hash', record.hash),
  );
}

/** A number of an account leads there; an id may be that of a person, a movement, a session. @param {string} word @returns {Child} */
function wordOf(word) {
  if (isAccount(word)) return h('a', { href: link(`/accounts/${word}`), class: 'number' }, groupDigits(word));
  return h('code', null, word);
}
