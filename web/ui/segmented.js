import { h, newId } from './dom.js';

/**
 * A choice of one among a few options, all of them in sight.
 * @param {string} label
 * @param {[string | number, string][]} options values and words
 * @param {string | number} value
 * @param {(value: string) => void} onchange
 */
export function segmented(label, options, value, onchange) {
  const name = newId('segment');
  const choices = options.map(([key, words]) => {
    const input = h('input', {
      type: 'radio',
      name,
      value: key,
      checked: key === value,
      onchange: () => onchange(String(key)),
    });
    return h('label', null, input, h('span', null, words));
  });
  return h('fieldset', { class: 'segmented' }, h('legend', { class: 'unseen' }, label), choices);
}
