/** How many approvals wait, beside each way to them. */

import { flat, h } from './dom.js';

/** @import { Coffer } from '../api/coffer.js' */
/** @import { Child } from './dom.js' */

/** More are not told apart: the number is there to be noticed. */
const MOST = 99;

/** As it was known last; null while the bank has not said. @type {number | null} */
let waiting = null;

/** The number in a small mark; nothing where nothing waits. */
export const waitingBadge = () => place('badge');

/** The same as a sentence. */
export const waitingInWords = () => place('waiting');

/** @param {number | null} number @returns {Child} */
function badge(number) {
  if (!number) return null;
  return [number > MOST ? `${MOST}+` : number, h('span', { class: 'unseen' }, ' waiting')];
}

/** @param {number | null} number @returns {Child} */
function words(number) {
  if (number === null) return 'What waits for approval';
  if (number === 0) return 'Nothing waits for approval';
  return number === 1 ? 'One thing waits for approval' : `${number} things wait for approval`;
}

/** @type {Record<string, (number: number | null) => Child>} */
const DRAWN = { badge, waiting: words };

/** @param {keyof typeof DRAWN} name */
function place(name) {
  const element = h('span', { class: name });
  fill(element);
  return element;
}

/** @param {Element} element */
function fill(element) {
  element.toggleAttribute('data-some', Boolean(waiting));
  element.replaceChildren(...flat(DRAWN[element.className](waiting)));
}

/** @param {number | null} number */
function tell(number) {
  waiting = number;
  document.querySelectorAll('.badge, .waiting').forEach(fill);
}

/** For those who work here: asks the bank, and shows it wherever it stands. A bank that does not say shows none. @param {Coffer} bank */
export async function countWaiting(bank) {
  try {
    tell((await bank.approvalCount()).waiting);
  } catch {
    tell(null);
  }
}

/** Nobody is signed in any more. */
export const forgetWaiting = () => tell(null);
