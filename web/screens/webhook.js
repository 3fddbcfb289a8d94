/** Admins and auditors: one webhook, and what was sent to it. */

import { formatMoment } from '../domain/dates.js';
import { asSentence } from '../domain/problem_words.js';
import { keepsWebhooks } from '../domain/roles.js';
import { ask } from '../ui/dialog.js';
import { announce, h, toast } from '../ui/dom.js';
import { field, workButton } from '../ui/form.js';
import { paged } from '../ui/paged.js';
import { rememberInAddress } from '../ui/router.js';
import { segmented } from '../ui/segmented.js';
import { staffWays } from '../ui/staff_ways.js';
import { WHY_DISABLED, asChange, keep, statusChip, termFields, typesInWords } from './webhooks.js';

/** @import { DeliveryStatus, Webhook, WebhookDelivery } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */

const PAGE = 50;

/** @type {['' | DeliveryStatus, string][]} */
const STATES = [
  ['', 'All'],
  ['pending', 'Waiting'],
  ['delivered', 'Delivered'],
  ['failed', 'Failed'],
];

/** How each looks. @type {Record<DeliveryStatus, string>} */
const CHIPS = { pending: 'pending', delivered: 'approved', failed: 'rejected' };

/** What a screen of a webhook does. @typedef {{context: Context, webhook: Webhook, show: (webhook: Webhook) => void}} Tools */

/** @param {Context} context @returns {Promise<Screen>} */
export async function webhookScreen(context) {
  const { bank, me, params, signal } = context;
  const first = await bank.webhook(params.id, { signal });
  const deliveries = deliveryList(context);
  const head = h('div', null);
  /** @param {Webhook} webhook */
  const show = (webhook) => {
    const tools = { context, webhook, show };
    head.replaceChildren(facts(webhook), ...(keepsWebhooks(me) ? [daily(tools, deliveries.refresh)] : []));
    foot.replaceChildren(...(keepsWebhooks(me) ? [grave(tools)] : []));
  };
  const foot = h('div', null);
  show(first);
  const content = [
    h('h1', null, 'Webhook'),
    staffWays(me, '/staff/webhooks'),
    head,
    h('h2', null, 'Deliveries'),
    deliveries.content,
    foot,
  ];
  return { title: 'Webhook', content };
}

/** @param {Webhook} webhook */
function facts(webhook) {
  const {
    url,
    description,
    public_key: key,
    created_at: made,
    disabled_because: why,
    last_delivered_at: last,
  } = webhook;
  const rows = [
    fact('URL', h('code', null, url), ' ', statusChip(webhook)),
    why && fact('Why it is disabled', WHY_DISABLED[why]),
    description && fact('What it is for', description),
    fact('Types', typesInWords(webhook)),
    fact('Public key', h('code', null, key)),
    fact('Since', formatMoment(made)),
    fact('Last delivered', last ? formatMoment(last) : 'nothing yet'),
  ];
  return h('div', { class: 'panels' }, h('dl', { class: 'card facts' }, rows));
}

/** @param {string} term @param {...Child} value */
const fact = (term, ...value) => h('div', null, h('dt', null, term), h('dd', null, value));

/** @param {Tools} tools @param {() => void} refresh what was sent */
function daily({ context: { bank }, webhook, show }, refresh) {
  const test = async () => {
    announce('A test is sent.');
    const { delivered, error, took_ms: took } = await bank.testWebhook(webhook.id);
    await ask({
      title: delivered ? 'It has arrived' : 'It has not arrived',
      text: delivered ? `The program has answered within ${took} ms.` : asSentence(error ?? 'Nobody knows why'),
      verb: 'Close',
    });
  };
  const edit = () =>
    ask({
      title: 'Change the webhook',
      text: 'What waits to be sent goes to the new URL, too.',
      verb: 'Change',
      fields: termFields(webhook),
      act: async (values) => show(await bank.updateWebhook(webhook.id, asChange(values))),
    });
  const replay = async () => {
    let count = 0;
    const done = await ask({
      title: 'Send events again',
      text: 'Everything that happened since then, whether or not it has arrived. Programs know again what they have had.',
      verb: 'Send again',
      fields: [field({ name: 'from', label: 'Since', type: 'datetime-local', required: true })],
      act: async ({ from }) => {
        const started = await bank.replayWebhook(webhook.id, { from: new Date(from).toISOString() });
        count = started.events;
        show(started.webhook);
      },
    });
    if (!done) return;
    refresh();
    toast(count === 1 ? 'One event is sent again.' : `${count} events are sent again.`);
  };
  const isEnabled = webhook.status === 'enabled';
  return h(
    'p',
    { class: 'ways' },
    workButton('Send a test', test),
    isEnabled && button('Send events again', replay),
    button('Change', edit),
  );
}

/** What stops messages, or makes programs refuse them. @param {Tools} tools */
function grave({ context: { bank }, webhook, show }) {
  const isEnabled = webhook.status === 'enabled';
  const rotate = async () => {
    let secret = '';
    await ask({
      title: 'A new secret?',
      text: 'The former one signs beside it for 24 hours: until then the program must have the new one.',
      verb: 'Make a new secret',
      act: async () => {
        const rotated = await bank.rotateWebhookSecret(webhook.id);
        secret = rotated.secret;
        show(rotated);
      },
    });
    if (secret) await keep(secret);
  };
  const toggle = () =>
    ask({
      title: isEnabled ? 'Disable the webhook?' : 'Enable the webhook?',
      text: isEnabled
        ? 'Nothing is sent until it is enabled again. What happens meanwhile is only sent if you ask for it.'
        : 'What happens from now on is sent, and what was waiting.',
      verb: isEnabled ? 'Disable' : 'Enable',
      danger: isEnabled,
      act: async () => show(await bank.updateWebhook(webhook.id, { status: isEnabled ? 'disabled' : 'enabled' })),
    });
  const remove = async () => {
    const done = await ask({
      title: 'Delete the webhook?',
      text: 'Nothing is sent any more, and what was sent is not listed any more. This cannot be undone.',
      verb: 'Delete',
      danger: true,
      act: () => bank.deleteWebhook(webhook.id),
    });
    if (!done) return;
    location.hash = '#/staff/webhooks';
    toast('The webhook is deleted.');
  };
  return h(
    'section',
    { 'aria-labelledby': 'grave-heading' },
    h('h2', { id: 'grave-heading' }, 'Secret and end'),
    h(
      'p',
      { class: 'ways' },
      button('New secret', rotate),
      button(isEnabled ? 'Disable' : 'Enable', toggle),
      button('Delete', remove),
    ),
  );
}

/** @param {string} words @param {() => unknown} onclick */
const button = (words, onclick) => h('button', { type: 'button', class: 'secondary', onclick }, words);

/** @param {Context} context */
function deliveryList(context) {
  const { bank, params, path, query, signal } = context;
  let status = stateOf(query.get('status'));
  const refresh = () => list.refresh();
  /** @type {ReturnType<typeof paged>} */
  const list = paged({
    into: h('ul', { class: 'card rows', 'aria-label': 'Deliveries' }),
    signal,
    load: (cursor, mine) =>
      bank.webhookDeliveries(params.id, { status: status || undefined, cursor, limit: PAGE }, { signal: mine }),
    row: (delivery) => rowOf(context, delivery, refresh),
    empty: () => ['Nothing here', 'What happens at the bank appears here when it is sent. It is kept for 30 days.'],
  });
  /** @param {string} value */
  const choose = (value) => {
    status = stateOf(value);
    rememberInAddress(path, { status });
    list.restart();
  };
  return { content: [segmented('State', STATES, status, choose), list], refresh };
}

/** @param {string | null} text */
const stateOf = (text) => STATES.find(([state]) => state === text)?.[0] ?? '';

/** @param {Context} context @param {WebhookDelivery} delivery @param {() => void} refresh */
function rowOf({ bank, me, params }, delivery, refresh) {
  const { event_id: id, type, status, attempts, created_at: made, last_error: error, next_attempt_at: next } = delivery;
  const again = async () => {
    await bank.retryWebhookDelivery(params.id, id);
    toast('It is sent again.');
    refresh();
  };
  const tries = attempts === 1 ? 'tried once' : `tried ${attempts} times`;
  return h(
    'li',
    { class: 'row' },
    h(
      'div',
      null,
      h('p', null, h('b', null, type), ' ', h('span', { class: `chip ${CHIPS[status]}` }, wordsOf(status))),
      h('p', { class: 'hint' }, `${formatMoment(made)} · ${tries}`, next && ` · next on ${formatMoment(next)}`),
      error && status !== 'delivered' && h('p', { class: 'hint' }, asSentence(error)),
      h('p', { class: 'hint' }, h('code', null, id)),
    ),
    keepsWebhooks(me) &&
      h(
        'div',
        { class: 'ways' },
        workButton('Send again', again, { class: 'quiet', 'aria-label': `Send again: ${type}` }),
      ),
  );
}

/** @param {DeliveryStatus} status */
const wordsOf = (status) => Object.fromEntries(STATES)[status].toLowerCase();
