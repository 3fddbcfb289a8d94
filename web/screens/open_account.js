/** Another account. */

import { h, toast } from '../ui/dom.js';
import { actions, field, form, submitButton } from '../ui/form.js';
import { currencyField } from '../ui/currency.js';
import { replaceWith } from '../ui/router.js';

/** @import { Context, Screen } from '../app.js' */
/** @import { Values } from '../ui/form.js' */

/** @param {Context} context @returns {Screen} */
export function openAccount({ bank, signal }) {
  /** @param {Values} values */
  const submit = async ({ label, currency }) => {
    const account = await bank.openAccount({ ...(label && { label }), ...(currency && { currency }) });
    if (signal.aborted) toast('The account is open.');
    else replaceWith(`/accounts/${account.account_number}`);
  };
  const content = h(
    'section',
    { class: 'narrow' },
    h('h1', null, 'Open an account'),
    form(
      { submit, class: 'card' },
      field({
        name: 'label',
        label: 'Name',
        optional: true,
        hint: 'To tell your accounts apart, such as “Savings”.',
        characters: 50,
        autocapitalize: 'sentences',
      }),
      currencyField(bank),
      actions(h('a', { class: 'button quiet', href: '#/' }, 'Cancel'), submitButton('Open the account')),
    ),
  );
  return { title: 'Open an account', content };
}
