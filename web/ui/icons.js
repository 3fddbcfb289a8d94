/** Pictures of the app, drawn with lines of the text's colour. They say nothing that the words beside them do not. */

import { svg } from './dom.js';

const PATHS = {
  deposit: ['M12 4v12', 'm7 11 5 5 5-5', 'M5 20h14'],
  withdraw: ['M12 16V4', 'm7 9 5-5 5 5', 'M5 20h14'],
  transfer: ['M4 8h15', 'm15 4 4 4-4 4', 'M20 16H5', 'm9 12-4 4 4 4'],
  statement: ['M7 3h7l4 4v14H7z', 'M14 3v4h4', 'M10 12h5', 'M10 16h5'],
  overview: ['M4 20V10l8-6 8 6v10z', 'M10 20v-6h4v6'],
  person: ['M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z', 'M4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.7 1.9 7.5 5.5'],
  staff: ['M4 8h16v12H4z', 'M9 8V5h6v3', 'M4 13h16', 'M12 12v2'],
  out: ['M10 4H5v16h5', 'M14 8l4 4-4 4', 'M18 12H9'],
  plus: ['M12 5v14', 'M5 12h14'],
  next: ['m9 5 7 7-7 7'],
  back: ['m15 5-7 7 7 7'],
  limit: ['M4 17a8 8 0 1 1 16 0', 'm12 17 4-5', 'M4 20h16'],
  lock: ['M6 11h12v9H6z', 'M8.5 11V8a3.5 3.5 0 0 1 7 0v3'],
  settings: ['M4 7h9', 'M17 7h3', 'M15 5v4', 'M4 17h3', 'M11 17h9', 'M9 15v4'],
  filter: ['M4 6h16', 'M7 12h10', 'M10 18h4'],
  search: ['M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Z', 'm20 20-4-4'],
  print: ['M7 9V4h10v5', 'M7 17H4V9h16v8h-3', 'M7 14h10v6H7z'],
  download: ['M12 4v11', 'm8 11 4 4 4-4', 'M5 19h14'],
  copy: ['M9 9h11v11H9z', 'M15 9V4H4v11h5'],
  check: ['m5 13 4 4L19 7'],
  cloud: ['M7 18a4 4 0 0 1-.5-8A6 6 0 0 1 18 9.5a4.3 4.3 0 0 1 1 8.4', 'M4 4l16 16'],
  alert: ['M12 4 3 20h18z', 'M12 10v4', 'M12 17v.5'],
};

/** @typedef {keyof typeof PATHS} Picture */

/** @param {Picture} name @returns {SVGElement} */
export function icon(name) {
  const line = {
    fill: 'none',
    stroke: 'currentColor',
    'stroke-width': 1.75,
    'stroke-linecap': 'round',
    'stroke-linejoin': 'round',
  };
  const paths = PATHS[name].map((d) => svg('path', { d }));
  return svg(
    'svg',
    { class: 'icon', viewBox: '0 0 24 24', width: 20, height: 20, 'aria-hidden': 'true', ...line },
    paths,
  );
}

/** The strong-box. */
export function mark() {
  return svg(
    'svg',
    { class: 'mark', viewBox: '0 0 32 32', width: 32, height: 32, 'aria-hidden': 'true' },
    svg('rect', { class: 'mark-box', x: 1, y: 1, width: 30, height: 30, rx: 8 }),
    svg('circle', { class: 'mark-dial', cx: 16, cy: 16, r: 8.5 }),
    svg('path', { class: 'mark-key', d: 'M16 11.2a3 3 0 0 1 1.7 5.5l.9 4.3h-5.2l.9-4.3A3 3 0 0 1 16 11.2Z' }),
  );
}
