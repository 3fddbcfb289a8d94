/** What the bank refuses, for people: what its problem documents say for programs is said here in the words of the app. */

/** @import { FieldError, Problem } from '../api/coffer.js' */

/** By code. @type {Record<string, string>} */
const WORDS = {
  account_number_malformed: 'Enter the 14 digits of the account number.',
  accounts_open: 'Every account must be closed first, at a balance of zero and with nothing held.',
  amount_negative: 'Enter an amount above zero.',
  api_key_not_found: 'There is no such API key, or it counts no more.',
  approval_not_pending: 'This waits no longer: it has been decided, or has expired.',
  bank_account_not_found: 'The bank has no such account of its own.',
  currency_withdrawn: 'The bank has given this unit up. Choose another one.',
  date_malformed: 'Choose a day of the calendar.',
  delivery_not_found: 'This event was not sent there, or is not kept any more.',
  email_taken: 'Somebody has this address at the bank already. If that is you, sign in with it.',
  hold_captured: 'The hold was captured before.',
  id_malformed: 'This id names nothing at the bank.',
  invalid_token: 'You are not signed in any more. Please sign in again.',
  malformed_json: 'The bank did not understand what this page has sent.',
  missing_field: 'Please fill this in.',
  missing_token: 'You are not signed in. Please sign in first.',
  nothing_to_confirm: 'There is no second factor to confirm. Please begin anew.',
  outcome_unknown: 'The bank cannot say whether this was done.',
  payee_not_found: 'You have no such payee any more.',
  period_reversed: 'The first day must not be after the last, nor in the future.',
  replay_under_way: 'Events are being sent again already. Please wait until that has ended.',
  second_factor_enabled: 'There is a second factor already. Turn it off before you set up another.',
  second_factor_enrolment_required: 'Your role needs a second factor. Please set one up first.',
  session_not_found: 'This session has ended already.',
  sign_up_by_staff_only: 'The bank opens the first account for you: please ask its staff.',
  timestamp_malformed: 'Choose a day of the calendar.',
  unknown_currency: 'The bank does not have this currency.',
  webhook_disabled: 'The webhook is disabled, and nothing is sent to it. Enable it first.',
  webhook_not_found: 'There is no such webhook any more.',
  whole_units_malformed: 'Enter a whole number of at most 13 digits, such as 500, or leave it empty.',
};

/** Calls, parameters, headers and formats: whoever is told of one writes a program. */
const OF_PROGRAMS =
  /\b(GET|POST|PUT|PATCH|DELETE) \/|[{}`]|^[?/]|\b(JSON|UUID|UTF-8|Bearer|Retry-After|null)\b|\bRFC \d|\bheaders?\b|access.token/;

/** @param {Pick<Problem, 'code' | 'title' | 'detail' | 'errors'>} problem @returns {string} */
export function problemInWords({ code, title, detail, errors = [] }) {
  if (WORDS[code]) return WORDS[code];
  if (!OF_PROGRAMS.test(detail)) return asSentence(detail);
  return errors.length ? errors.map(fieldErrorInWords).join(' ') : asSentence(title);
}

/** @param {FieldError} error @returns {string} */
export function fieldErrorInWords({ code, detail }) {
  if (WORDS[code]) return WORDS[code];
  return OF_PROGRAMS.test(detail) ? 'Enter another value.' : asSentence(detail.replace(/^send /, 'enter '));
}

/** @param {string} text */
export function asSentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}
