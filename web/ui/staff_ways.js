/** Links between the staff's screens. */

import { readsAudit, seesWebhooks, worksHere } from '../domain/roles.js';
import { h } from './dom.js';

/** @import { User } from '../api/coffer.js' */

/** @param {User} me @param {string} path */
export function staffWays(me, path) {
  /** @param {string} href @param {string} words */
  const way = (href, words) => h('a', { href: `#${href}`, 'aria-current': path === href && 'page' }, words);
  return h(
    'nav',
    { class: 'tabs', 'aria-label': 'Staff' },
    way('/staff', 'Customers'),
    way('/staff/approvals', 'Approvals'),
    way('/staff/movements', 'All movements'),
    worksHere(me) && way('/staff/bank', 'The bank'),
    seesWebhooks(me) && way('/staff/webhooks', 'Webhooks'),
    readsAudit(me) && way('/staff/audit', 'Audit log'),
  );
}
