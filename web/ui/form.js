/** Forms: fields with their errors beside them, and buttons that work once at a time. */

import { NetworkError, ProblemError, isAskedForProof } from '../api/coffer.js';
import { h, newId } from './dom.js';

/**
 * A labelled field, with room for a hint and an error. `name` is the field's in the request body, so that a pointer of a
 * problem document, `/name`, finds it. `characters` is the most that it may have, counted as the bank does: not in units of
 * UTF-16 as `maxlength`, of which an emoji has two and more, and after normalization.
 *
 * @param {{name: string, label: string, hint?: string | Node, optional?: boolean, control?: HTMLElement,
 *   characters?: number}} options and attributes of the input
 * @returns {HTMLElement} with `control` on it
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
  element.querySelector('.error').textContent = text;
  element.classList.toggle('wrong', Boolean(text));
  if (text) element.control.setAttribute('aria-invalid', 'true');
  else element.control.removeAttribute('aria-invalid');
}

/** @param {[string, string][]} options values and words @returns {HTMLSelectElement} */
export function select(options, { value, ...attributes } = {}) {
  const choices = options.map(([key, words]) => h('option', { value: key, selected: key === value }, words));
  return h('select', attributes, choices);
}

/**
 * A form. `submit` gets the trimmed values and runs once at a time; what it throws is shown beside the fields that
 * caused it, or above the button.
 *
 * @param {{class?: string, submit: (values: Record<string, string>) => Promise<void>}} options
 * @param {...any} children
 * @returns {HTMLFormElement}
 */
export function form({ submit, ...attributes }, ...children) {
  const problem = h('div', { class: 'form-problem', role: 'alert' });
  const element = h('form', { novalidate: true, ...attributes }, children);
  element.querySelector('.actions').before(problem);
  let busy = false;
  element.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (busy) return;
    clearProblems(element);
    if (!checkRequired(element) || !checkLengths(element)) return;
    busy = true;
    setBusy(element, true);
    try {
      await submit(valuesOf(element));
    } catch (error) {
      showProblem(element, error);
    } finally {
      busy = false;
      setBusy(element, false);
    }
  });
  return element;
}

/** Passwords as they were typed, everything else without white space around it. */
function valuesOf(element) {
  const entries = [...new FormData(element)].map(([name, value]) => {
    const isPassword = element.elements[name].autocomplete?.endsWith('-password');
    return [name, isPassword ? value : value.trim()];
  });
  return Object.fromEntries(entries);
}

function setBusy(element, busy) {
  const button = element.querySelector('button[type=submit]');
  if (!button) return;
  // Not `disabled`, which would throw the focus away; the form itself takes no second submit.
  button.setAttribute('aria-disabled', String(busy));
  button.classList.toggle('busy', busy);
}

function clearProblems(element) {
  element.querySelector('.form-problem').replaceChildren();
  for (const each of element.querySelectorAll('.field')) setFieldError(each, '');
}

function checkRequired(element) {
  const empty = [...element.querySelectorAll('.field')].filter(
    ({ control }) => control.required && !control.value.trim(),
  );
  for (const each of empty) setFieldError(each, 'Please fill this in.');
  empty[0]?.control.focus();
  return empty.length === 0;
}

function checkLengths(element) {
  const tooLong = [...element.querySelectorAll('.field')].filter(
    ({ control, characters }) => characters && [...control.value.trim().normalize('NFC')].length > characters,
  );
  for (const each of tooLong) setFieldError(each, `Enter at most ${each.characters} characters.`);
  tooLong[0]?.control.focus();
  return tooLong.length === 0;
}

/** A field's own complaint, from a check before anything is sent. */
export class FieldProblem extends Error {
  constructor(name, message) {
    super(message);
    this.field = name;
  }
}

/** @param {HTMLFormElement} element @param {unknown} error */
export function showProblem(element, error) {
  const found = pointed(element, error).map(([name, text]) => [
    element.querySelector(`[data-field="${CSS.escape(name)}"]`),
    text,
  ]);
  for (const [each, text] of found) if (each) setFieldError(each, text);
  const first = found.find(([each]) => each);
  if (first) first[0].control.focus();
  const homeless = found.filter(([each]) => !each).map(([, text]) => text);
  if (first && !homeless.length) return;
  const words = homeless.length ? homeless : [explain(error)];
  element.querySelector('.form-problem').replaceChildren(...words.map((text) => h('p', null, text)));
}

/** Problems that are about one field, although the bank names none: the first of these that the form has. */
const FIELDS_OF_CODES = {
  invalid_credentials: ['password'],
  wrong_password: ['current_password', 'password'],
  invalid_second_factor: ['code'],
  email_taken: ['email'],
};

/** Field names and complaints of an error. */
function pointed(element, error) {
  if (error instanceof FieldProblem) return [[error.field, error.message]];
  if (!(error instanceof ProblemError)) return [];
  const field = FIELDS_OF_CODES[error.code]?.find((name) => element.querySelector(`[data-field="${name}"]`));
  if (field) return [[field, asSentence(error.detail)]];
  return error.errors.map(({ pointer, detail }) => [
    pointer.replace(/^[/?]/, ''),
    asSentence(detail.replace(/^send /, 'enter ')),
  ]);
}

/** What went wrong, for a person. */
export function explain(error) {
  if (error instanceof NetworkError) return 'The bank did not answer. Check your connection and try again.';
  if (isAskedForProof(error)) return 'This was not done, because you did not confirm that it is you.';
  if (error instanceof ProblemError) return withWait(error);
  console.error(error);
  return 'Something went wrong in this page. Reload it and try again.';
}

function withWait({ detail, status, retryAfterSeconds: seconds }) {
  if (status !== 429 || !seconds) return asSentence(detail);
  const wait = seconds < 90 ? `${Math.ceil(seconds)} seconds` : `${Math.ceil(seconds / 60)} minutes`;
  return `Too many tries. Please try again in ${wait}.`;
}

function asSentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}

/** @param {string} words */
export function submitButton(words, attributes) {
  return h('button', { type: 'submit', class: 'primary', ...attributes }, words);
}

/** The row of buttons that ends a form. */
export const actions = (...children) => h('div', { class: 'actions' }, children);
