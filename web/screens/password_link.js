/** The link by which somebody else sets a password: shown once, to be handed over. */

import { formatMoment } from '../domain/dates.js';
import { showSecret } from '../ui/secret.js';

/** @import { PasswordLink } from '../api/coffer.js' */

/** @param {PasswordLink} link @param {string} name whose it is */
export async function showLink({ url, expires_at: until }, name) {
  if (!url || !until) return;
  await showSecret({
    title: `A link for ${name}`,
    text: `By it they set a password, once and until ${formatMoment(until)}. It is shown only now: hand it over yourself, and to nobody else.`,
    secret: url,
  });
}
