/** Admins and auditors: the programs that the bank sends its events to. */

import { formatMoment } from '../domain/dates.js';
import { keepsWebhooks } from '../domain/roles.js';
import { ask } from '../ui/dialog.js';
import { h } from '../ui/dom.js';
import { field } from '../ui/form.js';
import { icon } from '../ui/icons.js';
import { link } from '../ui/router.js';
import { showSecret } from '../ui/secret.js';
import { staffWays } from '../ui/staff_ways.js';
import { empty } from '../ui/states.js';

/** @import { Webhook, WebhookChange } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Values } from '../ui/form.js' */

/** @type {Record<string, string>} */
export const WHY_DISABLED = {
  by_admin: 'An admin has disabled it.',
  gone: 'It has answered that it is gone for good (410).',
  failing: 'Nothing has arrived there for more than three days.',
};

/** @param {Context} context @returns {Promise<Screen>} */
export async function webhooks(context) {
  const { bank, me, path, signal } = context;
  const { data } = await bank.webhooks({ signal });
  const content = [
    h('h1', null, 'Webhooks'),
    staffWays(me, path),
    h('p', { class: 'hint' }, 'The bank sends what happens to your programs, signed, until it arrives.'),
    data.length > 0
      ? h('ul', { class: 'card rows', 'aria-label': 'Webhooks' }, data.map(rowOf))
      : empty('No webhooks', 'A program that is to hear of every payment has an address: name it here.'),
    keepsWebhooks(me) &&
      h(
        'p',
        { class: 'ways' },
        h(
          'button',
          { type: 'button', class: 'secondary', onclick: () => create(context) },
          icon('plus'),
          'New webhook',
        ),
      ),
  ];
  return { title: 'Webhooks', content };
}

/** @param {Webhook} webhook */
function rowOf(webhook) {
  const { id, url, description, last_delivered_at: last } = webhook;
  return h(
    'li',
    { class: 'row' },
    h(
      'div',
      null,
      h('p', null, h('a', { href: link(`/staff/webhooks/${id}`) }, url), ' ', statusChip(webhook)),
      description && h('p', null, description),
      h('p', { class: 'hint' }, typesInWords(webhook)),
      h('p', { class: 'hint' }, last ? `Last delivered on ${formatMoment(last)}` : 'Nothing delivered yet'),
    ),
  );
}

/** @param {Webhook} webhook */
export const statusChip = ({ status, is_replaying: isReplaying }) =>
  isReplaying
    ? h('span', { class: 'chip pending' }, 'replaying')
    : status === 'disabled' && h('span', { class: 'chip rejected' }, 'disabled');

/** @param {Webhook} webhook */
export const typesInWords = ({ types }) => (types ? types.join(', ') : 'Everything that happens');

/** @param {Context} context */
async function create({ bank }) {
  /** @type {(Webhook & {secret: string}) | undefined} */
  let made;
  await ask({
    title: 'A new webhook',
    text: 'From now on the bank sends there what happens, to all customers.',
    verb: 'Make the webhook',
    fields: termFields(),
    act: async (values) => (made = await bank.createWebhook(asTerms(values))),
  });
  if (!made) return;
  await keep(made.secret);
  location.hash = link(`/staff/webhooks/${made.id}`);
}

/** What is asked of a webhook. @param {Webhook} [webhook] as it is now */
export const termFields = (webhook) => [
  field({
    name: 'url',
    label: 'URL',
    hint: 'Where the program listens, such as https://shop.example.com/coffer.',
    type: 'url',
    value: webhook?.url,
    maxlength: 500,
    autocomplete: 'off',
  }),
  field({
    name: 'types',
    label: 'Types',
    hint: 'Such as transaction.posted, with commas; empty for everything.',
    optional: true,
    value: webhook?.types?.join(', '),
    autocomplete: 'off',
  }),
  field({
    name: 'description',
    label: 'What it is for',
    optional: true,
    value: webhook?.description,
    characters: 140,
    autocomplete: 'off',
  }),
];

/** @param {Values} values */
export function asTerms({ url, types, description }) {
  const names = types.split(',').map((each) => each.trim());
  return { url, ...(types.trim() && { types: names }), ...(description && { description }) };
}

/** The same as a change, which takes away what is left out. @param {Values} values @returns {WebhookChange} */
export const asChange = (values) => ({ types: null, description: null, ...asTerms(values) });

/** Shows a secret, this once. @param {string} secret */
export const keep = (secret) =>
  showSecret({
    title: 'Keep this secret',
    text: 'It is shown only now. The program checks by it that a message comes from the bank, and was not changed.',
    secret,
  });
