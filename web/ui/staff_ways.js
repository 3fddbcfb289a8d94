/** The ways between the staff's screens. */

import { h } from './dom.js';

/** Who may change something for others. */
export const actsForOthers = (me) => ['staff', 'admin'].includes(me.role);
/** Who reads the audit log. */
export const readsAudit = (me) => ['admin', 'auditor'].includes(me.role);

/** @param {import('../api/coffer.js').User} me @param {string} path */
export function staffWays(me, path) {
  const way = (href, words) => h('a', { href: `#${href}`, 'aria-current': path === href && 'page' }, words);
  return h(
    'nav',
    { class: 'tabs', 'aria-label': 'Staff' },
    way('/staff', 'Customers'),
    way('/staff/approvals', 'Approvals'),
    readsAudit(me) && way('/staff/audit', 'Audit log'),
  );
}
