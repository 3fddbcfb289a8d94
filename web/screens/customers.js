/** Staff: look people up. */

import { chip } from '../ui/account_list.js';
import { currencyField } from '../ui/currency.js';
import { formatDay, utcDate } from '../domain/dates.js';
import { actsForOthers, worksHere } from '../domain/roles.js';
import { ask } from '../ui/dialog.js';
import { h } from '../ui/dom.js';
import { downloadButton } from '../ui/download.js';
import { field, select } from '../ui/form.js';
import { icon } from '../ui/icons.js';
import { paged } from '../ui/paged.js';
import { rememberInAddress } from '../ui/router.js';
import { staffWays } from '../ui/staff_ways.js';
import { whenTypedOut } from '../ui/typing.js';
import { showLink } from './password_link.js';

/** @import { Coffer, PasswordLink, Role, User } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */

/** @type {[Role | '', string][]} */
const ROLES = [
  ['', 'Everybody'],
  ['customer', 'Customers'],
  ['staff', 'Staff'],
  ['admin', 'Admins'],
  ['auditor', 'Auditors'],
];

/** @typedef {{search: string, role: Role | ''}} Choice */

/** @param {Context} context @returns {Screen} */
export function customers({ bank, me, path, query, signal }) {
  const chosen = { search: query.get('search') ?? '', role: roleOf(query.get('role')) };
  const list = paged({
    into: h('ul', { class: 'card rows people' }),
    signal,
    load: (cursor, mine) => bank.users({ ...chosen, cursor }, { signal: mine }),
    row: personRow,
    empty: () => ['Nobody found', 'Look for a part of a name or of an e-mail address, or for a whole account number.'],
  });
  /** @param {Choice} changes */
  const change = (changes) => {
    Object.assign(chosen, changes);
    rememberInAddress(path, chosen);
    list.restart();
  };
  const file = async () => ({ blob: await bank.usersFile(chosen), name: `users-${utcDate(new Date())}.csv` });
  const content = [
    h('h1', null, 'Customers'),
    staffWays(me, path),
    filters(chosen, change, signal),
    h(
      'div',
      { class: 'ways no-print' },
      actsForOthers(me) && newCustomer(bank),
      worksHere(me) && downloadButton('CSV', file),
    ),
    list,
  ];
  return { title: 'Customers', content };
}

/** @param {string | null} text */
const roleOf = (text) => ROLES.find(([role]) => role === text)?.[0] ?? '';

/** Opens the first account of somebody who stands at the counter. @param {Coffer} bank */
export function newCustomer(bank) {
  const open = async () => {
    /** @type {{user: User, invitation: PasswordLink} | undefined} */
    let made;
    await ask({
      title: 'A new customer',
      text: 'They get a link by which they set a password themselves.',
      verb: 'Open the account',
      fields: [
        field({ name: 'name', label: 'Their name', autocomplete: 'off', autocapitalize: 'words', characters: 100 }),
        field({
          name: 'email',
          label: 'Their e-mail address',
          type: 'email',
          autocomplete: 'off',
          inputmode: 'email',
          spellcheck: 'false',
          maxlength: 254,
        }),
        currencyField(bank),
      ],
      act: async ({ name, email, currency }) => {
        made = await bank.createCustomer({ name, email, ...(currency && { currency }) });
      },
    });
    if (!made) return;
    await showLink(made.invitation, made.user.name);
    location.hash = `#/staff/users/${made.user.id}`;
  };
  return h('button', { type: 'button', class: 'secondary', onclick: open }, 'New customer');
}

/** @param {Choice} chosen @param {(choice: Choice) => void} change @param {AbortSignal} signal */
function filters(chosen, change, signal) {
  const search = field({
    name: 'search',
    label: 'Name, e-mail address or account number',
    type: 'search',
    value: chosen.search,
    maxlength: 100,
    required: false,
  });
  const role = field({ name: 'role', label: 'Role', control: select(ROLES, { value: chosen.role }), required: false });
  const read = () => change({ search: search.control.value.trim(), role: roleOf(role.control.value) });
  /** @param {Event} event */
  const onsubmit = (event) => event.preventDefault();
  const bar = h('form', { class: 'filters', role: 'search', 'aria-label': 'Look people up', onsubmit }, search, role);
  whenTypedOut(bar, read, signal);
  return bar;
}

/** @param {User} user */
function personRow(user) {
  return h(
    'li',
    null,
    h(
      'a',
      { href: `#/staff/users/${user.id}` },
      h(
        'span',
        { class: 'account-name' },
        h(
          'b',
          null,
          user.name,
          ' ',
          user.status === 'frozen' && chip('frozen'),
          user.role !== 'customer' && chip(user.role),
        ),
        h('span', { class: 'hint' }, user.email),
      ),
      h('span', { class: 'hint' }, `Since ${formatDay(user.created_at)}`),
      icon('next'),
    ),
  );
}
