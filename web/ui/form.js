/** Forms: fields with their errors beside them, and buttons that work once at a time. */

import { CofferError, NetworkError, ProblemError, SignedOutError, isAskedForProof } from '../api/coffer.js';
import { remedyOf } from '../domain/limits.js';
import { fieldErrorInWords, problemInWords } from '../domain/problem_words.js';
import { dismissToasts, h, newId, toast } from './dom.js';

/** @import { FieldError } from '../api/coffer.js' */
/** @import { Child, Properties } from './dom.js' */
/** @typedef {HTMLInputElement | HTMLSelectElement} Control */
/** @typedef {HTMLElement & {control: Control, characters?: number}} Field with its control, and how much that may have */
/** @typedef {Record<string, string>} Values by the names of their fields */

/**
 * A labelled field, with room for a hint and an error. `name` is the field's in the request body, so that a pointer of a
 * problem document, `/name`, finds it. `characters` is the most that it may have, counted as the bank does: not in units of
 * UTF-16 as `maxlength`, of which an emoji has two and more, and after normalization.
 *
 * @param {{name: string, label: string, hint?: string | Node, optional?: boolean, control?: Control, after?: Child,
 *   characters?: number} & Properties} options and attributes of the input
 * @returns {Field}
 */
export function field({ name, label, hint, optional, control, after, characters, ...attributes }) {
  const id = newId(name);
  const input = control ?? h('input', { type: 'text', autocapitalize: 'off', ...attributes });
  input.id = id;
  input.name = name;
  if (!optional && !('checked' in attributes)) input.required = attributes.required !== false;
  const ids = { hint: `${id}-hint`, error: `${id}-error` };
  input.setAttribute('aria-describedby', `${hint ? `${ids.hint} ` : ''}${ids.error}`);
  const element = h(
    'div',
    { class: 'field', dataset: { field: name } },
    h('label', { for: id }, label, optional && h('span', { class: 'optional' }, ' optional')),
    hint && h('p', { class: 'hint', id: ids.hint }, hint),
    input,
    after,
    h('p', { class: 'error', id: ids.error }),
  );
  input.addEventListener('input', () => setFieldError(element, ''));
  return Object.assign(element, { control: input, characters });
}

/** @param {HTMLElement} element of {@link field} @param {string} text empty for no error */
export function setFieldError(element, text) {
  part(element, '.error').textContent = text;
  element.classList.toggle('wrong', Boolean(text));
  const control = part(element, 'input, select');
  if (text) control.setAttribute('aria-invalid', 'true');
  else control.removeAttribute('aria-invalid');
}

/**
 * A part of a form, which must be there.
 * @param {HTMLElement} element
 * @param {string} selector
 * @returns {HTMLElement}
 */
export function part(element, selector) {
  const found = element.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`There is no ${selector} here.`);
  return found;
}

/**
 * @param {[string, string][]} options values and words
 * @param {{value?: string} & Properties} [attributes]
 */
export function select(options, { value, ...attributes } = {}) {
  const choices = options.map(([key, words]) => h('option', { value: key, selected: key === value }, words));
  return h('select', attributes, choices);
}

/**
 * A form. `submit` gets the trimmed values and runs once at a time; what it throws is shown beside the fields that
 * caused it, or above the button, or to whoever has left the form by then.
 *
 * @param {{submit: (values: Values) => Promise<void>} & Properties} options
 * @param {...Child} children
 * @returns {HTMLFormElement}
 */
export function form({ submit, ...attributes }, ...children) {
  const problem = h('div', { class: 'form-problem', role: 'alert' });
  const element = h('form', { novalidate: true, ...attributes }, children);
  part(element, '.actions').before(problem);
  let busy = false;
  element.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (busy) return;
    clearProblems(element);
    dismissToasts();
    if (!checkRequired(element) || !checkLengths(element)) return;
    busy = true;
    setBusy(element.querySelector('button[type=submit]'), true);
    try {
      await submit(valuesOf(element));
    } catch (error) {
      if (element.isConnected) showProblem(element, error);
      else tellOfProblem(error);
    } finally {
      busy = false;
      setBusy(element.querySelector('button[type=submit]'), false);
    }
  });
  return element;
}

/**
 * Passwords as they were typed, everything else without white space around it.
 * @param {HTMLFormElement} element
 * @returns {Values}
 */
function valuesOf(element) {
  const entries = [...new FormData(element)].map(([name, value]) => {
    const isPassword = controlOf(element, name).autocomplete.endsWith('-password');
    const text = String(value);
    return [name, isPassword ? text : text.trim()];
  });
  return Object.fromEntries(entries);
}

/**
 * The control of this name, which the form has.
 * @param {HTMLFormElement} element
 * @param {string} name
 */
export function controlOf(element, name) {
  return /** @type {Control} */ (element.elements.namedItem(name));
}

/** @param {HTMLElement} element @returns {Field[]} */
const fieldsOf = (element) => [...element.querySelectorAll('.field')].map((each) => /** @type {Field} */ (each));

/** @param {Element | null} button @param {boolean} busy */
function setBusy(button, busy) {
  if (!button) return;
  // Not `disabled`, which would throw the focus away; the form itself takes no second submit.
  button.setAttribute('aria-disabled', String(busy));
  button.classList.toggle('busy', busy);
}

/** @param {HTMLFormElement} element */
function clearProblems(element) {
  part(element, '.form-problem').replaceChildren();
  for (const each of fieldsOf(element)) setFieldError(each, '');
}

/** Also where it is folded away: a complaint that nobody sees helps nobody. @param {Field} at */
function focusOn({ control }) {
  control.closest('details')?.setAttribute('open', '');
  control.focus();
}

/** @param {HTMLFormElement} element */
function checkRequired(element) {
  const empty = fieldsOf(element).filter(({ control }) => control.required && !control.value.trim());
  for (const each of empty) setFieldError(each, 'Please fill this in.');
  if (empty[0]) focusOn(empty[0]);
  return empty.length === 0;
}

/** @param {HTMLFormElement} element */
function checkLengths(element) {
  const tooLong = fieldsOf(element).filter(
    ({ control, characters }) => characters && [...control.value.trim().normalize('NFC')].length > characters,
  );
  for (const each of tooLong) setFieldError(each, `Enter at most ${each.characters} characters.`);
  if (tooLong[0]) focusOn(tooLong[0]);
  return tooLong.length === 0;
}

/** A field's own complaint, from a check before anything is sent. */
export class FieldProblem extends Error {
  /** @param {string} name @param {string} message */
  constructor(name, message) {
    super(message);
    this.field = name;
  }
}

/** Whether it may have been done although there was no good answer. @param {unknown} error */
export function isUncertain(error) {
  if (error instanceof ProblemError) return error.status >= 500 || (Boolean(error.cause) && isBeforeTheBooks(error));
  return error instanceof NetworkError;
}

/**
 * Whether the bank has refused before it looked into its books: of an earlier try of the same movement it says nothing.
 * @param {unknown} error
 */
export const isBeforeTheBooks = (error) => error instanceof ProblemError && [401, 403, 408, 429].includes(error.status);

/** Nobody knows whether it was done, and it may be sent again: the same request with the same key is carried out once. */
export class UncertainOutcome extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super(`${explain(cause)} It is not certain whether the bank has done it. Trying again is safe: it is done once.`, {
      cause,
    });
  }
}

/** For what has an idempotency key. @param {unknown} error @returns {never} */
export function throwUncertain(error) {
  throw isUncertain(error) ? new UncertainOutcome(error) : error;
}

/**
 * Shows it where it belongs: beside the fields that it is about, as far as they can be seen, or above the button.
 * @param {HTMLFormElement} element @param {unknown} error
 */
export function showProblem(element, error) {
  const fields = fieldsOf(element).filter(({ hidden }) => !hidden);
  const found = pointed(element, error).map(([name, text]) => ({
    at: fields.find((each) => each.dataset.field === name),
    text,
  }));
  for (const { at, text } of found) if (at) setFieldError(at, text);
  const first = found.find(({ at }) => at)?.at;
  if (first) focusOn(first);
  const homeless = found.filter(({ at }) => !at).map(({ text }) => text);
  if (first && !homeless.length) return;
  const words = homeless.length ? homeless : [explain(error)];
  part(element, '.form-problem').replaceChildren(...words.map((text) => h('p', null, text)));
}

/**
 * Problems that are about one field, although the bank names none: the first of these that the form has.
 * @type {Record<string, string[]>}
 */
const FIELDS_OF_CODES = {
  invalid_credentials: ['password'],
  wrong_password: ['current_password', 'password'],
  invalid_second_factor: ['code'],
  email_taken: ['email'],
  bank_account_exists: ['code'],
};

/**
 * Field names and complaints of an error.
 * @param {HTMLFormElement} element
 * @param {unknown} error
 * @returns {[string, string][]}
 */
function pointed(element, error) {
  if (error instanceof FieldProblem) return [[error.field, error.message]];
  if (!(error instanceof ProblemError)) return [];
  const field = FIELDS_OF_CODES[error.code]?.find((name) =>
    element.querySelector(`[data-field="${name}"]:not([hidden])`),
  );
  if (field) return [[field, problemInWords(error)]];
  return error.errors.map((each) => [fieldOf(each), fieldErrorInWords(each)]);
}

/** `/types/0` is about a part of the field `types`. @param {FieldError} error */
const fieldOf = ({ pointer }) => pointer.replace(/^[/?]/, '').split('/')[0];

/** What went wrong, for a person. @param {unknown} error @returns {string} */
export function explain(error) {
  if (error instanceof NetworkError) return 'The bank did not answer. Check your connection and try again.';
  if (error instanceof UncertainOutcome) return error.message;
  if (isAskedForProof(error)) return 'This was not done, because you did not confirm that it is you.';
  if (error instanceof ProblemError) return remedyOf(error) ?? withWait(error);
  console.error(error);
  return 'Something went wrong in this page. Reload it and try again.';
}

/**
 * Tells of an error where there is no form to show it. Whoever has left a screen, or the bank, does not want to hear what
 * became of its last requests.
 * @param {unknown} error
 * @returns {boolean} whether it came of a request; otherwise the console has it
 */
export function tellOfProblem(error) {
  if (error instanceof SignedOutError || (error instanceof Error && error.name === 'AbortError')) return true;
  toast(explain(error));
  return error instanceof CofferError;
}

/** @param {ProblemError} error */
function withWait(error) {
  const { status, retryAfterSeconds: seconds } = error;
  if (status !== 429 || !seconds) return problemInWords(error);
  const wait = seconds < 90 ? `${Math.ceil(seconds)} seconds` : `${Math.ceil(seconds / 60)} minutes`;
  return `Too many tries. Please try again in ${wait}.`;
}

/** @param {string} words @param {Properties} [attributes] */
export function submitButton(words, attributes) {
  return h('button', { type: 'submit', class: 'primary', ...attributes }, words);
}

/**
 * A button outside of forms. Its work runs once at a time, and what that throws is told.
 * @param {Child} content
 * @param {() => Promise<unknown>} work
 * @param {Properties} [attributes]
 */
export function workButton(content, work, attributes) {
  let busy = false;
  const button = h('button', { type: 'button', class: 'secondary', ...attributes }, content);
  button.addEventListener('click', async () => {
    if (busy) return;
    busy = true;
    setBusy(button, true);
    try {
      await work();
    } catch (error) {
      tellOfProblem(error);
    } finally {
      busy = false;
      setBusy(button, false);
    }
  });
  return button;
}

/** The row of buttons that ends a form. @param {...Child} children */
export const actions = (...children) => h('div', { class: 'actions' }, children);
