/** Shows something that nobody is shown a second time. */

import { ask } from './dialog.js';
import { h, toast } from './dom.js';
import { icon } from './icons.js';

/** @param {{title: string, text: string, secret: string}} what */
export function showSecret({ title, text, secret }) {
  const copy = async () => {
    await navigator.clipboard.writeText(secret);
    toast('It is copied.');
  };
  return ask({
    title,
    text,
    verb: 'I have kept it',
    stays: 'Nobody is shown it again. Keep it first, then press the button.',
    fields: [
      h('p', null, h('code', { class: 'secret' }, secret)),
      h(
        'button',
        { type: 'button', class: 'secondary', onclick: copy, hidden: !navigator.clipboard },
        icon('copy'),
        'Copy',
      ),
    ],
  });
}
