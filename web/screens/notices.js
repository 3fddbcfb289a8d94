/** Of what the bank tells by mail: sign-ins from somewhere new, and movements above an amount. */

import { decimalsOf, formatMoney, formatPlain } from '../domain/money.js';
import { limitOf } from '../ui/amount.js';
import { ask } from '../ui/dialog.js';
import { h } from '../ui/dom.js';
import { field, workButton } from '../ui/form.js';

/** @import { Account, Coffer } from '../api/coffer.js' */
/** @import { Context } from '../app.js' */

/**
 * Null where the bank sends no mail.
 * @param {Context} context
 * @param {(changed: boolean) => void} reloadIf
 */
export async function signInNotices({ bank, me, session, signal }, reloadIf) {
  if (!(await bank.about({ signal })).mail) return null;
  const isOn = me.sign_in_notices;
  const toggle = async () => {
    await bank.updateMe({ sign_in_notices: !isOn });
    await session.reload();
    reloadIf(true);
  };
  const words = isOn
    ? 'The bank mails you when somebody signs in as you from a device and network that are new.'
    : 'The bank tells nobody when somebody signs in as you from somewhere new.';
  const state = h('span', { class: `chip ${isOn ? 'active' : 'closed'}` }, isOn ? 'on' : 'off');
  return h(
    'div',
    { class: 'card row' },
    h('div', null, h('p', null, h('b', null, 'New sign-ins '), state), h('p', { class: 'hint' }, words)),
    h('div', { class: 'ways' }, workButton(isOn ? 'Turn off' : 'Turn on', toggle)),
  );
}

/** Of which movements the owner of an account is told by mail. @param {Account} account */
export function movementNoticesInWords({ notify_above: above, currency }) {
  return above === null
    ? 'You get no mail about movements.'
    : `You get a mail about each movement of more than ${formatMoney(above, currency)}, once your address is confirmed.`;
}

/**
 * Asks above which amount movements of an account are told of. True when that has changed.
 * @param {Coffer} bank
 * @param {Account} account
 */
export const askForMovementNotices = (bank, { account_number: number, notify_above: above, balance, currency }) =>
  ask({
    title: 'Movements by mail',
    text: 'Of each movement of more than this, in or out. Leave it empty for never.',
    verb: 'Save',
    fields: [
      field({
        name: 'notify_above',
        label: `Mail me above, in ${currency}`,
        optional: true,
        inputmode: 'decimal',
        autocomplete: 'off',
        value: above && formatPlain(above),
      }),
    ],
    act: ({ notify_above: typed }) =>
      bank.updateAccount(number, { notify_above: limitOf('notify_above', typed, decimalsOf(balance)) }),
  });
