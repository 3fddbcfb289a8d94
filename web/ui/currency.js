/** The choice of a currency: those of ISO 4217 that most people look for, and the bank's own units. */

import { currencyChoices } from '../domain/currencies.js';
import { h } from './dom.js';
import { field, select } from './form.js';

/** @import { Coffer } from '../api/coffer.js' */

/** @param {Coffer} bank */
export function currencyField(bank) {
  const control = select(currencyChoices());
  const addUnits = async () => {
    const { units } = await bank.about();
    const own = units.map(({ code, name }) => h('option', { value: code }, `${code} – ${name}`));
    // Behind the bank's usual one.
    control.options[0].after(...own);
  };
  // Without them, there is still a choice.
  addUnits().catch(() => {});
  return field({ name: 'currency', label: 'Currency', optional: true, control });
}
