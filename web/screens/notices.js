/** Of what the bank tells by mail: sign-ins from somewhere new, and movements above an amount. */

import { formatMoney } from '../domain/money.js';
import { ask } from '../ui/dialog.js';
import { h } from '../ui/dom.js';
import { field } from '../ui/form.js';

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
  const onclick = async () => {
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
    h('button', { type: 'button', class: 'secondary', onclick }, isOn ? 'Turn off' : 'Turn on'),
  );
}

/**
 * Sets above which amount movements of an account are told of. Hidden where the bank sends no mail.
 * @param {Coffer} bank
 * @param {Account} shown
 * @param {(changed: boolean) => void} reloadIf
 */
export function movementNotices(bank, shown, reloadIf) {
  const { account_number: number, notify_above: above, currency } = shown;
  const now = above === null ? 'Now you get no mail.' : `Now you get one above ${formatMoney(above, currency)}.`;
  const amount = field({
    name: 'notify_above',
    label: `Mail me above, in ${currency}`,
    hint: 'Of each movement of more than this, in or out. Empty for never.',
    optional: true,
    inputmode: 'decimal',
    autocomplete: 'off',
    value: above ?? '',
  });
  const onclick = () =>
    ask({
      title: 'Movements by mail',
      text: `${now} Your address must be confirmed.`,
      verb: 'Save',
      fields: [amount],
      act: ({ notify_above: units }) => bank.notifyAbove(number, units || null),
    }).then(reloadIf);
  const button = h('button', { type: 'button', class: 'quiet', hidden: true, onclick }, 'Mail');
  bank.about().then(
    ({ mail }) => (button.hidden = !mail),
    () => {},
  );
  return button;
}
