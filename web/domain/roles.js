/** What the roles at the bank may do. */

/** @import { User } from '../api/coffer.js' */

/** Who looks after others. @param {User} me */
export const worksHere = (me) => ['staff', 'admin', 'auditor'].includes(me.role);

/** Who may change something for others. @param {User} me */
export const actsForOthers = (me) => ['staff', 'admin'].includes(me.role);

/** Who may move money at all, their own or that of others. @param {User} me */
export const mayAct = (me) => me.status === 'active' && me.role !== 'auditor';

/** Who opens accounts of the bank's own. @param {User} me */
export const opensBankAccounts = (me) => me.role === 'admin';

/** Who has events sent to programs. @param {User} me */
export const keepsWebhooks = (me) => me.role === 'admin';

/** Who sees where they are sent. @param {User} me */
export const seesWebhooks = (me) => ['admin', 'auditor'].includes(me.role);

/** Who reads the audit log. @param {User} me */
export const readsAudit = (me) => ['admin', 'auditor'].includes(me.role);
