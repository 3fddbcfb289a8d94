/** Which days a statement is about. */

import { isDay, usualPeriods } from '../domain/dates.js';
import { h } from '../ui/dom.js';
import { FieldProblem, actions, controlOf, field, form, part, submitButton } from '../ui/form.js';
import { segmented } from '../ui/segmented.js';

/** @import { Period } from '../domain/dates.js' */
/** @import { Values } from '../ui/form.js' */
/** @typedef {keyof ReturnType<typeof usualPeriods>} UsualPeriod */

/** @type {[UsualPeriod | 'custom', string][]} */
const PERIODS = [
  ['this-month', 'This month'],
  ['last-month', 'Last month'],
  ['this-year', 'This year'],
  ['custom', 'Other'],
];

/** The period that an address asks for, if it does. @param {URLSearchParams} query @returns {Period | null} */
export function periodOf(query) {
  const [from, to] = [query.get('from'), query.get('to')];
  return isDay(from) && isDay(to) ? { from, to } : null;
}

/**
 * @param {Period | null} asked
 * @param {(period: Period) => void} show
 * @returns {{element: HTMLElement, shorten: (period: Period) => void}} `shorten` asks for a part of a period
 */
export function periodChooser(asked, show) {
  const periods = usualPeriods();
  const usual = Object.entries(periods).find(([, period]) => period.from === asked?.from && period.to === asked.to);
  const chosen = asked ? (usual?.[0] ?? 'custom') : 'this-month';
  /** @param {keyof Period} name @param {string} label */
  const day = (name, label) => field({ name, label, type: 'date', value: (asked ?? periods['this-month'])[name] });
  /** @param {Values} values */
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
  /** @param {string} name */
  const choose = (name) => {
    custom.hidden = name !== 'custom';
    if (name !== 'custom') show(periods[/** @type {UsualPeriod} */ (name)]);
  };
  const choices = segmented('Period', PERIODS, chosen, choose);
  const element = h(
    'div',
    { class: 'no-print period' },
    choices,
    custom,
    h('p', { class: 'hint' }, 'The bank’s days begin and end at midnight UTC.'),
  );
  /** @param {Period} period */
  const shorten = ({ from, to }) => {
    /** @type {HTMLInputElement} */ (part(choices, '[value=custom]')).checked = true;
    choose('custom');
    const first = controlOf(custom, 'from');
    [first.value, controlOf(custom, 'to').value] = [from, to];
    first.focus();
  };
  return { element, shorten };
}
