/** API keys: how programs call in one's name. The secret of each is shown once, when it is made. */

import { groupDigits } from '../domain/account_number.js';
import { formatDay, formatMoment } from '../domain/dates.js';
import { worksHere } from '../domain/roles.js';
import { nameOf } from '../ui/account_list.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { field, select, workButton } from '../ui/form.js';
import { icon } from '../ui/icons.js';
import { paged } from '../ui/paged.js';
import { showSecret } from '../ui/secret.js';

/** @import { Account, ApiKey, NewApiKey, Page, PageQuery, Options, Scope } from '../api/coffer.js' */
/** @import { Context } from '../app.js' */
/** @import { Values } from '../ui/form.js' */

/** Keys on a page: nobody has more than twenty. */
const PAGE = 20;
const DAY_MS = 86_400_000;

/** What a key may do, by its scopes. @type {[string, string][]} */
const REACHES = [
  ['read', 'Look only'],
  ['read move', 'Look and move money'],
  ['move', 'Move money, without looking'],
];
/** @type {[string, string][]} */
const REACHES_OF_STAFF = [
  ...REACHES,
  ['read staff', 'Look at all customers'],
  ['read move staff', 'Act for all customers'],
];

/** @type {[string, string][]} */
const LIVES = [
  ['', 'Never'],
  ['30', 'In 30 days'],
  ['90', 'In 90 days'],
  ['365', 'In a year'],
];

/** The caller's own keys, with what may be done with them. @param {Context} context */
export function apiKeys(context) {
  const { bank } = context;
  /** The rows are drawn anew, and the button in the row that had the focus is gone. */
  const renew = () => {
    list.restart();
    add.focus({ preventScroll: true });
  };
  const create = async () => {
    const accounts = await bank.allAccounts();
    const secret = await askForKey(
      context,
      accounts.filter(({ status }) => status === 'open'),
    );
    await shown(secret, renew);
  };
  /** @param {ApiKey} key */
  const rotate = async (key) => {
    /** @type {string | undefined} */
    let secret;
    await ask({
      title: `A new secret for ${key.name}?`,
      text: 'Programs have a day to change to it; until then both count.',
      verb: 'Make a new secret',
      act: async () => ({ api_key: secret } = await bank.rotateApiKey(key.id)),
    });
    await shown(secret, renew);
  };
  /** @param {ApiKey} key */
  const revoke = (key) =>
    ask({
      title: `Revoke ${key.name}?`,
      text: 'What calls by it is refused from now on. This cannot be undone.',
      verb: 'Revoke',
      danger: true,
      act: () => bank.revokeApiKey(key.id),
    }).then((done) => {
      if (!done) return;
      renew();
      toast('The key is revoked.');
    });
  const nothing = 'A key lets a program call the bank in your name, as far as you say.';
  const list = keyList(context, bank.apiKeys, nothing, (key) => [
    h(
      'button',
      { type: 'button', class: 'quiet', onclick: () => rotate(key), 'aria-label': `New secret for ${key.name}` },
      'New secret',
    ),
    h(
      'button',
      { type: 'button', class: 'quiet', onclick: () => revoke(key), 'aria-label': `Revoke ${key.name}` },
      'Revoke',
    ),
  ]);
  const add = workButton([icon('plus'), 'New API key'], create);
  return h('div', null, list, h('p', { class: 'ways' }, add));
}

/**
 * @param {Context} context
 * @param {(query: PageQuery, options: Options) => Promise<Page<ApiKey>>} load
 * @param {string} nothing what is said where there are none
 * @param {(key: ApiKey) => HTMLElement[]} [buttons]
 */
export function keyList({ signal }, load, nothing, buttons = () => []) {
  return paged({
    into: h('ul', { class: 'card rows', 'aria-label': 'API keys' }),
    signal,
    load: (cursor, mine) => load({ cursor, limit: PAGE }, { signal: mine }),
    row: (key) => row(key, buttons(key)),
    empty: () => ['No API keys', nothing],
  });
}

/** @param {ApiKey} key @param {HTMLElement[]} buttons */
function row(key, buttons) {
  const known = [...REACHES_OF_STAFF].find(([scopes]) => scopes === key.scopes.join(' '));
  const bounds = [
    known?.[1] ?? key.scopes.join(', '),
    key.accounts && `only ${key.accounts.map(groupDigits).join(', ')}`,
    key.per_day && `up to ${key.per_day} in 24 hours`,
    key.networks && `from ${key.networks.join(', ')}`,
    key.expires_at && `until ${formatDay(key.expires_at)}`,
  ];
  const used = key.last_used_at ? `last used ${formatMoment(key.last_used_at)}` : 'never used';
  return h(
    'li',
    { class: 'row' },
    h(
      'div',
      null,
      h('p', null, h('b', null, key.name, ' '), h('code', null, `…${key.hint}`)),
      h('p', { class: 'hint' }, bounds.filter(Boolean).join(' · ')),
      h('p', { class: 'hint' }, `Since ${formatDay(key.created_at)} · ${used}`),
    ),
    buttons.length > 0 && h('div', { class: 'ways' }, buttons),
  );
}

/** The secret of the key that was made, or nothing. @param {Context} context @param {Account[]} accounts */
async function askForKey({ bank, me }, accounts) {
  /** @type {[string, string][]} */
  const choices = accounts.map((account) => [
    account.account_number,
    `${nameOf(account)} ${groupDigits(account.account_number)}`,
  ]);
  /** @type {string | undefined} */
  let secret;
  await ask({
    title: 'A new API key',
    text: 'It lets a program call the bank in your name. Give each program one of its own.',
    verb: 'Make the key',
    fields: [
      field({
        name: 'name',
        label: 'Name',
        hint: 'What it is for, such as “Web shop”.',
        characters: 100,
        autocomplete: 'off',
      }),
      field({
        name: 'scopes',
        label: 'It may',
        control: select(worksHere(me) ? REACHES_OF_STAFF : REACHES, { value: 'read' }),
      }),
      field({ name: 'accounts', label: 'Account', optional: true, control: select([['', 'Any'], ...choices]) }),
      field({
        name: 'per_day',
        label: 'Most in 24 hours',
        hint: 'In whole units of each currency; empty for any amount.',
        optional: true,
        inputmode: 'numeric',
        maxlength: 13,
        autocomplete: 'off',
      }),
      field({
        name: 'networks',
        label: 'Networks',
        hint: 'Addresses or networks that it calls from, such as 192.0.2.0/24, with commas; empty for any.',
        optional: true,
        autocomplete: 'off',
      }),
      field({ name: 'expires_at', label: 'It ends', optional: true, control: select(LIVES) }),
    ],
    act: async (values) => ({ api_key: secret } = await bank.createApiKey(asKey(values))),
  });
  return secret;
}

/** @param {Values} values @returns {NewApiKey} */
function asKey({ name, scopes, accounts, per_day, networks, expires_at: days }) {
  return {
    name,
    scopes: /** @type {Scope[]} */ (scopes.split(' ')),
    ...(accounts && { accounts: [accounts] }),
    ...(per_day && { per_day }),
    ...(networks && { networks: networks.split(',').map((each) => each.trim()) }),
    ...(days && { expires_at: new Date(Date.now() + Number(days) * DAY_MS).toISOString() }),
  };
}

/** Shows a secret, this once. @param {string | undefined} secret @param {() => void} then */
async function shown(secret, then) {
  if (!secret) return;
  then();
  await showSecret({
    title: 'Keep this key',
    text: 'It is shown only now. Whoever has it can use it: put it where the program keeps its secrets, and nowhere else.',
    secret,
  });
}
