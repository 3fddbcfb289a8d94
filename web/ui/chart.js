/** The line of a balance over time. */

import { NetworkError } from '../api/coffer.js';
import { formatDay, formatMoment } from '../domain/dates.js';
import { h } from './dom.js';
import { LOCALE, formatMoney, fromMinor } from '../domain/money.js';

/** @import { Point } from '../domain/balances.js' */
/** @import uPlot from '../vendor/uplot.js' */
/** @import { AlignedData, Options } from '../vendor/uplot.js' */
/** @typedef {typeof uPlot} Plot */
/** @typedef {{line: string, fill: string, grid: string, text: string}} Colors */

const HEIGHT = 180;
/** In pixels, of the labels beside the line. */
const DIGIT_WIDTH = 7;
const AXIS_GAP = 20;

/**
 * @param {{points: Point[], decimals: number, isSampled: boolean, currency: string}} series
 * @returns {Promise<HTMLElement>}
 */
export async function balanceChart({ points, decimals, isSampled, currency }) {
  const { default: UPlot } = await import('../vendor/uplot.js').catch(asNetworkError);
  /** @param {bigint} minor */
  const money = (minor) => formatMoney(fromMinor(minor, decimals), currency);
  const readout = h('p', { class: 'chart-readout', 'aria-hidden': 'true' });
  const plot = h('div', { class: 'chart-plot' });
  const scope = isSampled && `Too many movements to draw each: this is the balance at ${points.length} moments.`;
  const words = [inWords(points, money), scope].filter(Boolean).join(' ');
  const picture = h('div', { class: 'chart', role: 'img', 'aria-label': words }, readout, plot);
  /** @param {number | null | undefined} index of what is pointed at */
  const say = (index) => {
    if (index === null || index === undefined) return readout.replaceChildren();
    const { at, minor } = points[index];
    const when = index === points.length - 1 ? 'Now' : formatMoment(at);
    readout.replaceChildren(when, h('b', null, money(minor)));
  };
  // Pixels are not money: here, and only here, an amount may become a float.
  /** @type {AlignedData} */
  const data = [points.map(({ at }) => at / 1000), points.map(({ minor }) => Number(minor) / 10 ** decimals)];
  /** @type {InstanceType<Plot> | null} */
  let chart = null;
  /** @param {number} width */
  const draw = (width) => {
    chart?.destroy();
    chart = new UPlot(options(UPlot, { width, say, colors: colorsOf(plot) }), data, plot);
  };
  new ResizeObserver(([entry]) => entry.contentRect.width && draw(Math.floor(entry.contentRect.width))).observe(plot);
  return scope ? h('div', null, picture, h('p', { class: 'chart-scope', 'aria-hidden': 'true' }, scope)) : picture;
}

/** @param {unknown} cause @returns {never} */
function asNetworkError(cause) {
  throw new NetworkError('The chart did not arrive.', { cause });
}

/**
 * @param {Plot} UPlot
 * @param {{width: number, say: (index: number | null | undefined) => void, colors: Colors}} look
 * @returns {Options}
 */
function options(UPlot, { width, say, colors }) {
  const axis = { stroke: colors.text, font: '12px system-ui, sans-serif', ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { y: false, points: { size: 9, fill: colors.line }, drag: { setScale: false, x: false } },
    scales: { y: { range: (_, min, max) => rangeAround(min, max) } },
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 80, values: (_, ticks) => dateTicks(ticks) },
      {
        ...axis,
        grid: { stroke: colors.grid, width: 1 },
        size: (_, values) => AXIS_GAP + DIGIT_WIDTH * Math.max(4, ...(values ?? []).map(({ length }) => length)),
        space: 48,
        values: (_, ticks) => amountTicks(ticks),
      },
    ],
    series: [
      {},
      {
        stroke: colors.line,
        width: 2,
        fill: colors.fill,
        paths: UPlot.paths.stepped?.({ align: 1 }),
        points: { show: false },
      },
    ],
    hooks: { setCursor: [({ cursor }) => say(cursor.idx)] },
  };
}

/**
 * Around what there is, so that a change can be seen however much there was before. The axis says how large it is.
 * @param {number} min
 * @param {number} max
 * @returns {[number, number]}
 */
function rangeAround(min, max) {
  const room = (max - min || Math.abs(max) || 1) * 0.1;
  return [min >= 0 ? Math.max(0, min - room) : min - room, max + room];
}

/** As short as they can be and still differ. @param {number[]} ticks */
function amountTicks(ticks) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  const most = Math.max(...ticks.map(Math.abs));
  const unit = [1e9, 1e6, 1e3].find((each) => most >= each) ?? 1;
  const digits = Math.max(0, Math.ceil(Math.log10(unit / step)));
  const format = new Intl.NumberFormat(LOCALE, {
    notation: digits > 2 ? 'standard' : 'compact',
    maximumFractionDigits: Math.min(digits, 2),
  });
  return ticks.map((tick) => format.format(tick));
}

/** @param {number[]} ticks */
function dateTicks(ticks) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 86_400;
  /** @type {Intl.DateTimeFormatOptions} */
  const clock = { hour: 'numeric', minute: '2-digit', ...(step < 60 && { second: '2-digit' }) };
  const format = new Intl.DateTimeFormat(LOCALE, step < 86_400 ? clock : { day: 'numeric', month: 'short' });
  return ticks.map((tick) => format.format(tick * 1000));
}

/** @param {HTMLElement} element @returns {Colors} */
function colorsOf(element) {
  const style = getComputedStyle(element);
  /** @param {string} name */
  const color = (name) => style.getPropertyValue(name).trim();
  return {
    line: color('--chart-line'),
    fill: color('--chart-fill'),
    grid: color('--chart-grid'),
    text: color('--chart-text'),
  };
}

/** The chart in words, for screen readers. @param {Point[]} points @param {(minor: bigint) => string} money */
function inWords(points, money) {
  const [first, last] = [points[0], points[points.length - 1]];
  const sorted = points.map(({ minor }) => minor).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return `Balance from ${money(first.minor)} on ${formatDay(first.at)} to ${money(last.minor)} now; lowest ${money(sorted[0])}, highest ${money(sorted[sorted.length - 1])}.`;
}
