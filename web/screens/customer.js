/** Staff: one person, with what may be done for or about them. */

import { accountList, chip, nameOf } from '../ui/account_list.js';
import { formatDay, formatMoment } from '../domain/dates.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { actions, field, form, select, submitButton } from '../ui/form.js';
import { currencyField } from '../ui/currency.js';
import { icon } from '../ui/icons.js';
import { paged } from '../ui/paged.js';
import { peopleReader } from '../ui/people.js';
import { link } from '../ui/router.js';
import { actsForOthers, readsAudit } from '../domain/roles.js';
import { empty, later } from '../ui/states.js';
import { reloadIf } from './account.js';
import { keyList } from './api_keys.js';
import { DEEDS, inWords } from './audit.js';
import { showLink } from './password_link.js';
import { sessionsOf } from './sessions.js';

/** @import { Account, Approval, AuditRecord, Coffer, PasswordLink, Role, User } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */

/** Records of the audit log that are shown: the rest is behind a link. */
const RECORDS = 5;
/** @type {[Role, string][]} */
const ROLES = [
  ['customer', 'Customer'],
  ['staff', 'Staff'],
  ['admin', 'Admin'],
  ['auditor', 'Auditor'],
];

/** @param {Context} context @returns {Promise<Screen>} */
export async function customer(context) {
  const { bank, me, params, signal } = context;
  const [user, accounts] = await Promise.all([
    bank.user(params.id, { signal }),
    bank.allAccounts({ owner_id: params.id }, { signal }),
  ]);
  const content = [
    h('a', { class: 'way-back', href: '#/staff/customers' }, icon('back'), 'Customers'),
    h(
      'div',
      { class: 'title-row' },
      h('h1', null, user.name),
      chip(user.status),
      user.role !== 'customer' && chip(user.role),
      user.is_service && chip('service'),
    ),
    h('p', { class: 'lead' }, `${user.email} · since ${formatDay(user.created_at)}`),
    actsForOthers(me) && me.id !== user.id && h('div', { class: 'ways' }, daily(bank, user)),
    h(
      'section',
      null,
      h('h2', null, 'Accounts'),
      accounts.length
        ? accountList(accounts, { owner: user.id, beside: freezing(context, user) })
        : empty('No accounts', 'This person has none.'),
    ),
    me.id !== user.id && notes(context, user),
    readsAudit(me) && h('section', null, h('h2', null, 'API keys'), keysOf(context, user)),
    me.id !== user.id && sessionsOf(context, user),
    readsAudit(me) && h('section', null, h('h2', null, 'Lately'), lately(context, user)),
    me.id !== user.id && access(context, user),
  ];
  return { title: user.name, content };
}

/** @param {Context} context @param {User} user */
const keysOf = (context, user) =>
  keyList(
    context,
    (query, options) => context.bank.userApiKeys(user.id, query, options),
    'No program calls in their name.',
  );

const reasonField = () =>
  field({
    name: 'reason',
    label: 'Reason',
    optional: true,
    hint: 'For the audit log.',
    characters: 140,
    autocomplete: 'off',
  });

/** What staff do for customers every day. @param {Coffer} bank @param {User} user */
function daily(bank, user) {
  /** @param {string} words @param {() => unknown} act */
  const button = (words, act) => h('button', { type: 'button', class: 'secondary', onclick: act }, words);
  return [
    button('Open an account', () => openFor(bank, user)),
    !user.is_service && button('Link to set a password', () => passwordLink(bank, user)),
  ];
}

/** What changes how far they get: apart from the rest, with what follows from it. @param {Context} context @param {User} user */
function access({ bank, me }, user) {
  const frozen = user.status === 'frozen';
  /** @param {string} verb @param {string} effect @param {() => unknown} act */
  const row = (verb, effect, act) =>
    h(
      'li',
      { class: 'row' },
      h('p', { class: 'hint' }, effect),
      h('button', { type: 'button', class: 'danger secondary', onclick: act }, verb),
    );
  const rows = [];
  if (me.role === 'admin' || (me.role === 'staff' && user.role === 'customer')) {
    const effect = frozen ? 'They can look and sign out, but change nothing.' : 'They could look, but change nothing.';
    rows.push(row(frozen ? 'Release' : 'Freeze', effect, () => freezePerson(bank, user)));
  }
  if (me.role === 'admin') {
    rows.push(
      row('Change the role', 'What they may do at the bank.', () => changeRole(bank, user)),
      row('End their sessions', 'They must sign in again everywhere.', () => endSessions(bank, user)),
      row('Revoke their API keys', 'Programs that call in their name are refused.', () => revokeKeys(bank, user)),
      row('Remove the second factor', 'For who has lost the app and the codes.', () => removeFactor(bank, user)),
      row('Erase', 'Whatever the books do not need goes, for good.', () => erase(bank, user)),
    );
  }
  if (!rows.length) return null;
  return h('section', null, h('h2', null, 'Access'), h('ul', { class: 'card rows' }, rows));
}

/** @param {Coffer} bank @param {User} user */
function freezePerson(bank, user) {
  const frozen = user.status === 'frozen';
  return ask({
    title: frozen ? `Release ${user.name}?` : `Freeze ${user.name}?`,
    text: frozen ? 'They can move money again.' : 'They can look and sign out, but change nothing.',
    verb: frozen ? 'Release' : 'Freeze',
    danger: !frozen,
    fields: [reasonField()],
    act: ({ reason }) => bank.setUserStatus(user.id, frozen ? 'active' : 'frozen', reason || undefined),
  }).then(reloadIf);
}

/** The last of what the audit log has about them. @param {Context} context @param {User} user */
function lately(context, user) {
  const people = peopleReader(context);
  /** @param {AuditRecord} record */
  const row = (record) =>
    h(
      'li',
      { class: 'row' },
      h(
        'div',
        null,
        inWords(people, record),
        h('p', { class: 'hint' }, [formatMoment(record.created_at), record.detail].filter(Boolean).join(' · ')),
      ),
    );
  const read = async () => {
    const { data } = await context.bank.audit(
      { user_id: user.id, action: DEEDS, limit: RECORDS },
      { signal: context.signal },
    );
    if (!data.length) return empty('Nothing', 'The audit log has nothing that they did, or that was done to them.');
    return [
      h('ul', { class: 'card rows', 'aria-label': 'Lately' }, data.map(row)),
      h('p', null, h('a', { href: link('/staff/audit', { about: user.id }) }, 'All that the audit log has about them')),
    ];
  };
  return later(read, context.signal);
}

/** @param {Coffer} bank @param {User} user */
function changeRole(bank, user) {
  let waits = false;
  return ask({
    title: `The role of ${user.name}`,
    text: 'It counts from their next request on.',
    verb: 'Change the role',
    fields: [field({ name: 'role', label: 'Role', control: select(ROLES, { value: user.role }) })],
    act: async ({ role }) => {
      const { approval_id: approval } = await bank.setUserRole(user.id, /** @type {Role} */ (role));
      waits = approval !== undefined;
    },
  }).then((done) => (waits ? toast(BY_SECOND_ADMIN) : reloadIf(done)));
}

const BY_SECOND_ADMIN = 'A second admin must approve it.';

/** @param {Coffer} bank @param {User} user */
function openFor(bank, user) {
  return ask({
    title: `An account for ${user.name}`,
    text: 'It starts at zero.',
    verb: 'Open the account',
    fields: [
      field({ name: 'label', label: 'Name', optional: true, characters: 50, autocapitalize: 'sentences' }),
      currencyField(bank),
    ],
    act: ({ label, currency }) =>
      bank.openAccount({ owner_id: user.id, ...(label && { label }), ...(currency && { currency }) }),
  }).then(reloadIf);
}

/** @param {Coffer} bank @param {User} user */
async function passwordLink(bank, user) {
  /** @type {PasswordLink | undefined} */
  let link;
  await ask({
    title: `A link for ${user.name}?`,
    text: 'For who has lost the password, once you know who they are; and for a new customer who has not used theirs. Any other link ends.',
    verb: 'Make the link',
    act: async () => (link = await bank.createPasswordLink(user.id)),
  });
  if (link?.approval_id) toast(`${BY_SECOND_ADMIN} Then ask for the link again.`);
  else if (link) await showLink(link, user.name);
}

/** What those who work here note for each other. @param {Context} context @param {User} user */
function notes(context, user) {
  const { bank, me, signal } = context;
  const people = peopleReader(context);
  const list = paged({
    into: h('ul', { class: 'card rows', 'aria-label': 'Notes' }),
    signal,
    load: (cursor, mine) => bank.notes(user.id, { cursor, limit: 20 }, { signal: mine }),
    row: (note) =>
      h(
        'li',
        { class: 'row' },
        h(
          'div',
          null,
          h('p', null, note.text),
          h('p', { class: 'hint' }, people.name(note.author_id), ` · ${formatMoment(note.created_at)}`),
        ),
      ),
    empty: () => ['No notes', 'What you note here is for those who work at the bank.'],
  });
  /** @type {HTMLFormElement} */
  const add = form(
    {
      class: 'card',
      submit: async ({ text }) => {
        await bank.addNote(user.id, text);
        add.reset();
        list.restart();
      },
    },
    field({
      name: 'text',
      label: 'A note',
      hint: 'For those who work here; it is in what they take along. It cannot be changed.',
      characters: 1000,
      autocomplete: 'off',
    }),
    actions(submitButton('Note it', { class: 'secondary' })),
  );
  return h('section', { class: 'stack' }, h('h2', null, 'Notes'), list, actsForOthers(me) && add);
}

/** @param {Coffer} bank @param {User} user */
function endSessions(bank, user) {
  return ask({
    title: `End the sessions of ${user.name}?`,
    text: 'All of them: they must sign in again everywhere.',
    verb: 'End the sessions',
    danger: true,
    act: () => bank.endUserSessions(user.id),
  }).then((done) => done && toast('Their sessions have ended.'));
}

/** @param {Coffer} bank @param {User} user */
function revokeKeys(bank, user) {
  return ask({
    title: `Revoke the API keys of ${user.name}?`,
    text: 'All of them: programs that call in their name are refused from now on.',
    verb: 'Revoke',
    danger: true,
    act: () => bank.revokeUserApiKeys(user.id),
  }).then(reloadIf);
}

/** @param {Coffer} bank @param {User} user */
function removeFactor(bank, user) {
  /** @type {Approval | undefined} */
  let answer;
  return ask({
    title: `Remove the second factor of ${user.name}?`,
    text: 'For those who have lost app and recovery codes, once you know who they are. They must sign in again everywhere.',
    verb: 'Remove',
    danger: true,
    act: async () => (answer = await bank.removeUserSecondFactor(user.id)),
  }).then((done) => done && toast(answer ? BY_SECOND_ADMIN : 'Their second factor is removed.'));
}

const ERASURE =
  'Name, address, sessions, keys, payees, notes and every text on their accounts go, and nobody brings them back. Amounts, ' +
  'account numbers, times and the audit log stay, and so do the texts of those who paid them. Close their accounts before.';

/** @param {Coffer} bank @param {User} user */
function erase(bank, user) {
  let waits = false;
  return ask({
    title: `Erase ${user.name}?`,
    text: ERASURE,
    verb: 'Erase for good',
    danger: true,
    act: async () => {
      waits = 'status' in (await bank.eraseUser(user.id));
    },
  }).then((done) => {
    if (!done) return;
    toast(waits ? BY_SECOND_ADMIN : 'They are erased.');
    if (!waits) location.hash = '#/staff';
  });
}

/** @param {Context} context @param {User} user @returns {(account: Account) => Child} a button that freezes or releases it */
function freezing({ bank, me }, user) {
  const mayFreeze = actsForOthers(me) && me.id !== user.id;
  return (account) => mayFreeze && account.status !== 'closed' && freezeButton(bank, account);
}

/** @param {Coffer} bank @param {Account} account */
function freezeButton(bank, account) {
  const frozen = account.status === 'frozen';
  const verb = frozen ? 'Release' : 'Freeze';
  const act = () =>
    ask({
      title: `${verb} ${nameOf(account)}?`,
      text: frozen ? 'Money can move on it again.' : 'No money moves on it, in or out.',
      verb,
      danger: !frozen,
      fields: [reasonField()],
      act: ({ reason }) =>
        bank.setAccountStatus(account.account_number, frozen ? 'open' : 'frozen', reason || undefined),
    }).then(reloadIf);
  const words = `${verb} ${nameOf(account)} ${account.account_number}`;
  return h('button', { type: 'button', class: 'quiet', 'aria-label': words, onclick: act }, verb);
}
