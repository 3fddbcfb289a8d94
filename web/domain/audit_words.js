/** Records of the audit log as sentences: who did what, to whom. */

import { groupDigits } from './account_number.js';

/** @import { AuditRecord } from '../api/coffer.js' */

const ACCOUNT = /^\d{14}$/;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @param {string | null} word */
export const isAccount = (word) => ACCOUNT.test(word ?? '');
/** @param {string | null} word */
export const isId = (word) => ID.test(word ?? '');

/**
 * What follows the one who did it. `{person}` is whom it was done to, `{account}` an account and whose it is, where that is
 * somebody else, and `{subject}` the record's own word. Of two, the first is for those who did it to themselves.
 * @type {Record<string, string | [string, string]>}
 */
const SENTENCES = {
  login: 'signed in',
  login_failed: 'failed to sign in as {subject}',
  login_throttled: 'tried too often to sign in as {subject}',
  second_factor_failed: 'gave the right password and a wrong code',
  proof_failed: 'gave a wrong password or code while signed in',
  refresh_token_reused: 'showed a copied token, which ended the session',
  session_ended: ['ended a session', 'ended a session of {person}'],
  sessions_ended: ['ended all sessions', 'ended all sessions of {person}'],
  user_created: ['became a customer', 'made {person} a customer'],
  note_added: 'noted something on {person}',
  user_frozen: 'froze {person}',
  user_released: 'released {person}',
  user_closed: 'left the bank',
  user_erased: 'erased somebody who had left',
  role_changed: 'changed the role of {person}',
  admin_created: 'made {person} an admin',
  service_user_created: 'made {person}, which is a program',
  password_changed: 'changed the password',
  password_link_created: 'made a link for {person} to set a password',
  password_link_mailed: 'got a link by mail to set a password',
  password_reset: 'set a password by a link',
  address_changed: 'changed the e-mail address',
  address_verified: 'showed that mail arrives at the address',
  second_factor_enabled: 'turned on the second factor',
  second_factor_removed: ['turned off the second factor', 'removed the second factor of {person}'],
  confirmation_changed: 'changed above which amount movements are confirmed',
  api_key_created: 'made an API key',
  api_key_rotated: 'gave an API key another secret',
  api_key_revoked: ['revoked an API key', 'revoked an API key of {person}'],
  access_denied: 'asked for {subject}, which the bank refused',
  account_opened: 'opened {account}',
  account_renamed: 'renamed {account}',
  account_metadata_changed: 'changed what is noted on {account}',
  account_alert_set: 'set when a low balance is told of {account}',
  account_notice_set: 'set above which amount movements of {account} are told by mail',
  account_frozen: 'froze {account}',
  account_released: 'released {account}',
  account_closed: 'closed {account}',
  limits_set: 'set the bank’s limits of {account}',
  own_limits_set: 'set limits of {account}',
  approval_requested: 'asked for an approval',
  approval_approved: 'approved what was asked for',
  approval_rejected: 'rejected what was asked for',
  movement_reversed: 'reversed a movement of {account}',
  movement_by_staff: 'moved money on {account}',
  movement_refused: 'tried to move money on {account}, which the bank refused',
  hold_created: 'held money on {account}',
  hold_captured: 'captured a hold on {account}',
  hold_released: 'released a hold on {account}',
  account_viewed: 'looked at {account}',
  balance_viewed: 'looked at the balance of {account}',
  history_viewed: 'looked at the history of {account}',
  transaction_viewed: 'looked at a movement of {account}',
  movements_listed: 'looked through the movements of the bank',
  holds_viewed: 'looked at the holds on {account}',
  limits_viewed: 'looked at the limits of {account}',
  statement_exported: 'took a statement of {account}',
  user_viewed: 'looked at {person}',
  users_listed: 'looked people up',
  api_keys_listed: 'looked at the API keys of {person}',
  sessions_listed: 'looked at the sessions of {person}',
  notes_listed: 'read the notes on {person}',
  events_listed: 'read what has happened',
  events_streamed: 'began to listen to what happens',
  users_exported: 'took people away as a file',
  movements_exported: 'took movements away as a file',
  data_exported: 'took along a copy of everything on file',
  accounts_listed: 'looked at the accounts of {person}',
  approvals_listed: 'looked at what waits for approval',
  approval_viewed: 'looked at what waits for approval',
  audit_read: 'read the audit log',
  record_viewed: 'saw the answer to {subject}',
  bank_account_opened: 'opened the bank’s account {subject}',
  webhook_created: 'made a webhook',
  webhook_changed: 'changed a webhook',
  webhook_deleted: 'deleted a webhook',
  webhook_secret_rotated: 'gave a webhook another secret',
  webhook_resent: 'had something sent to a webhook',
  demo_filled: 'filled the bank with an example',
};

/**
 * A part of a sentence: words, or the id of a person whose name is to be shown.
 * @typedef {string | {person: string}} Part
 */

/** @param {string} action "user_frozen" @returns {string} "User frozen" */
export const nameOfAction = (action) => (action.charAt(0).toUpperCase() + action.slice(1)).replaceAll('_', ' ');

/** @param {AuditRecord} record @returns {Part[]} */
export function sentenceOf(record) {
  // An action of a newer bank than this page.
  const known = SENTENCES[record.action] ?? `did this: ${nameOfAction(record.action).toLowerCase()}`;
  const template = typeof known === 'string' ? known : known[Number(Boolean(personOf(record)))];
  const parts = template.split(/(\{\w+\})/).flatMap((part) => partOf(record, part));
  return [actorOf(record), ' ', ...parts];
}

/** @param {AuditRecord} record @returns {Part} */
function actorOf({ action, actor_id: actor, address }) {
  if (actor) return { person: actor };
  // It disables a webhook that nothing arrives at.
  if (action === 'webhook_changed') return 'The bank';
  return address ? 'Somebody' : 'The command line';
}

/** @param {AuditRecord} record @param {string} part @returns {Part[]} */
function partOf(record, part) {
  if (part === '{subject}') return [record.subject ?? 'somebody unknown'];
  if (part === '{person}') return [personOf(record) ?? 'themselves'];
  if (part === '{account}') return accountOf(record);
  return [part];
}

/** Who else it is about; null for nobody, or for several. @param {AuditRecord} record @returns {{person: string} | null} */
function personOf({ action, actor_id: actor, subject, concerns }) {
  // The subject of these is a session, a key or a webhook.
  const named =
    subject && isId(subject) && !/^(session|api_key|webhook)_/.test(action) ? [subject] : concerns.filter(isId);
  return named[0] && named[0] !== actor && !concerns.includes(actor ?? '') ? { person: named[0] } : null;
}

/** @param {AuditRecord} record @returns {Part[]} */
function accountOf({ actor_id: actor, subject, concerns }) {
  const numbers = [subject, ...concerns].filter((word) => word !== null).filter(isAccount);
  if (!numbers.length) return ['an account'];
  const first = `account ${groupDigits(numbers[0])}`;
  // The people come before the key by which it was done.
  const owner = concerns.find(isId);
  const isOwn = !owner || concerns.includes(actor ?? '');
  return isOwn ? [first] : [`${first} of `, { person: owner }];
}
