/** Tables of what is counted. */

import { h } from './dom.js';

/** @import { Child } from './dom.js' */

/**
 * A table of what is counted: a name, something about it, and a figure.
 * @param {string} caption
 * @param {string[]} heads
 * @param {Child[][]} rows
 * @param {Child[]} [total]
 */
export function figures(caption, heads, rows, total) {
  const classes = ['name', 'about', 'amount'];
  // Roles are written out: on a small screen the style makes this no table any more, and browsers then forget.
  const columns = heads.map((words, index) =>
    h('th', { class: classes[index], role: 'columnheader', scope: 'col' }, words),
  );
  /** @param {Child[]} contents */
  const row = ([name, ...others]) =>
    h(
      'tr',
      { role: 'row' },
      h('th', { class: 'name', role: 'rowheader', scope: 'row' }, name),
      others.map((content, index) => h('td', { class: classes[index + 1], role: 'cell' }, content)),
    );
  const group = { role: 'rowgroup' };
  return h(
    'table',
    { class: 'lines figures', role: 'table' },
    h('caption', null, caption),
    h('thead', group, h('tr', { role: 'row' }, columns)),
    h('tbody', group, rows.map(row)),
    total && h('tfoot', group, row(total)),
  );
}
