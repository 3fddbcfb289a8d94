/** Filters above a list. On a phone they stand behind one button, which says how many are set. */

import { h, newId } from './dom.js';
import { icon } from './icons.js';
import { whenTypedOut } from './typing.js';

/** @import { Field } from './form.js' */

/**
 * @param {object} options
 * @param {string} options.name for screen readers
 * @param {Field[]} options.usual
 * @param {Field[]} [options.others] folded away until one asks for them, or one of them is set
 * @param {() => void} options.change when something is chosen or typed
 * @param {AbortSignal} options.signal when the screen is left
 * @returns {HTMLElement & {read: (name: string) => string | null}} with what a field has, by its name
 */
export function filterBar({ name, usual, others = [], change, signal }) {
  const fields = [...usual, ...others];
  const id = newId('filters');
  const count = h('span', { class: 'filter-count' });
  /** @param {Event} event */
  const onsubmit = (event) => event.preventDefault();
  const toggle = h(
    'button',
    { type: 'button', class: 'secondary filter-toggle', 'aria-expanded': 'false', 'aria-controls': id },
    icon('filter'),
    'Filter',
    count,
  );
  const clear = h('button', { type: 'button', class: 'quiet' }, 'Clear the filters');
  const open = others.some(({ control }) => control.value);
  const body = h(
    'div',
    { class: 'filter-body', id },
    h('div', { class: 'filters' }, usual),
    others.length > 0 &&
      h('details', { class: 'more', open }, h('summary', null, 'More filters'), h('div', { class: 'filters' }, others)),
    clear,
  );
  const bar = h('form', { class: 'filter-bar folded', role: 'search', 'aria-label': name, onsubmit }, toggle, body);
  const show = () => {
    const set = fields.filter(({ control }) => control.value.trim()).length;
    count.textContent = set ? ` · ${set}` : '';
    clear.hidden = !set;
  };
  const act = () => {
    show();
    change();
  };
  toggle.addEventListener('click', () => {
    const isFolded = bar.classList.toggle('folded');
    toggle.setAttribute('aria-expanded', String(!isFolded));
  });
  clear.addEventListener('click', () => {
    for (const { control } of fields) control.value = '';
    act();
    // The button that had it is gone. On a phone a field would bring the keyboard up.
    (toggle.offsetParent ? toggle : fields[0].control).focus();
  });
  whenTypedOut(bar, act, signal);
  show();
  return Object.assign(bar, {
    read: (/** @type {string} */ wanted) =>
      fields.find(({ control }) => control.name === wanted)?.control.value.trim() ?? null,
  });
}
