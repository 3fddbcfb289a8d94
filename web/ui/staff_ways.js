/** Links between the staff's screens. */

import { readsAudit, seesWebhooks, worksHere } from '../domain/roles.js';
import { h } from './dom.js';
import { waitingBadge } from './waiting.js';

/** @import { User } from '../api/coffer.js' */
/** @import { Child } from './dom.js' */

/** @param {User} me @param {string} path */
export function staffWays(me, path) {
  /** @param {string} href @param {string} words @param {Child} [more] */
  const way = (href, words, more) => h('a', { href: `#${href}`, 'aria-current': path === href && 'page' }, words, more);
  const nav = h(
    'nav',
    { class: 'tabs', 'aria-label': 'Staff' },
    way('/staff', 'Today'),
    way('/staff/approvals', 'Approvals', waitingBadge()),
    way('/staff/customers', 'Customers'),
    way('/staff/movements', 'All movements'),
    worksHere(me) && way('/staff/bank', 'The bank'),
    seesWebhooks(me) && way('/staff/webhooks', 'Webhooks'),
    readsAudit(me) && way('/staff/audit', 'Audit log'),
  );
  // Where there is no room for all, the one that is open is in sight.
  requestAnimationFrame(() => {
    const here = nav.querySelector('[aria-current]');
    if (here instanceof HTMLElement) nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
  });
  return nav;
}
