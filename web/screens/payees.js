/** Whom one pays: accounts with one's own names for them. */

import { groupDigits } from '../domain/account_number.js';
import { h, toast } from '../ui/dom.js';
import { workButton } from '../ui/form.js';
import { paged } from '../ui/paged.js';

/** @import { Payee } from '../api/coffer.js' */
/** @import { Context } from '../app.js' */

/** @param {Context} context */
export function payeeList({ bank, signal }) {
  const list = h('ul', { class: 'card rows', tabindex: -1, 'aria-label': 'Payees' });
  /** @param {Payee} payee @param {HTMLElement} row */
  const remove = async (payee, row) => {
    await bank.deletePayee(payee.id);
    row.remove();
    list.focus({ preventScroll: true });
    toast(`${payee.name} is forgotten.`);
  };
  return paged({
    into: list,
    signal,
    load: (cursor, mine) => bank.payees({ cursor, limit: 20 }, { signal: mine }),
    row: (payee) => rowOf(payee, remove),
    empty: () => ['No payees', 'When you send money to somebody new, the bank can remember them for you.'],
  });
}

/** @param {Payee} payee @param {(payee: Payee, row: HTMLElement) => Promise<void>} remove */
function rowOf(payee, remove) {
  /** @type {HTMLElement} */
  const row = h(
    'li',
    { class: 'row' },
    h(
      'div',
      null,
      h('p', null, h('b', null, payee.name)),
      h('p', { class: 'hint number' }, groupDigits(payee.account_number)),
    ),
    workButton('Forget', () => remove(payee, row), { class: 'quiet', 'aria-label': `Forget ${payee.name}` }),
  );
  return row;
}
