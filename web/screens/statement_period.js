/** Which days a statement is about. */

import { startOfUtcDay, usualPeriods } from '../domain/dates.js';
import { h } from '../ui/dom.js';
import { FieldProblem, actions, field, form, submitButton } from '../ui/form.js';
import { segmented } from '../ui/segmented.js';

const PERIODS = [
  ['this-month', 'This month'],
  ['last-month', 'Last month'],
  ['this-year', 'This year'],
  ['custom', 'Other'],
];

/** The period that an address asks for, if it does. @param {URLSearchParams} query */
export function periodOf(query) {
  const [from, to] = [query.get('from'), query.get('to')];
  return startOfUtcDay(from) !== null && startOfUtcDay(to) !== null ? { from, to } : null;
}

/**
 * @param {{from: string, to: string} | null} asked
 * @param {(period: {from: string, to: string}) => void} show
 * @returns {HTMLElement & {shorten: (period: {from: string, to: string}) => void}} `shorten` asks for a part of a period
 */
export function periodChooser(asked, show) {
  const periods = usualPeriods();
  const isUsual = ([, period]) => period.from === asked.from && period.to === asked.to;
  const chosen = asked ? (Object.entries(periods).find(isUsual)?.[0] ?? 'custom') : 'this-month';
  const day = (name, label) => field({ name, label, type: 'date', value: (asked ?? periods['this-month'])[name] });
  const submit = async ({ from, to }) => {
    if (to < from) throw new FieldProblem('to', 'The last day is before the first.');
    show({ from, to });
  };
  const custom = form(
    { submit, class: 'custom-period' },
    day('from', 'First day'),
    day('to', 'Last day'),
    actions(submitButton('Show', { class: 'secondary' })),
  );
  custom.hidden = chosen !== 'custom';
  const choose = (name) => {
    custom.hidden = name !== 'custom';
    if (name !== 'custom') show(periods[name]);
  };
  const choices = segmented('Period', PERIODS, chosen, choose);
  const element = h(
    'div',
    { class: 'no-print period' },
    choices,
    custom,
    h('p', { class: 'hint' }, 'The bank’s days begin and end at midnight UTC.'),
  );
  element.shorten = ({ from, to }) => {
    choices.querySelector('[value=custom]').checked = true;
    choose('custom');
    [custom.elements.from.value, custom.elements.to.value] = [from, to];
    custom.elements.from.focus();
  };
  return element;
}
