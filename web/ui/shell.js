/** The parts that stay while screens change: the header with its links, and the notice about the connection. */

import { worksHere } from '../domain/roles.js';
import { byId, h, toast } from './dom.js';
import { explain } from './form.js';
import { icon, mark } from './icons.js';
import { waitingBadge } from './waiting.js';

/** @import { User } from '../api/coffer.js' */
/** @import { Child } from './dom.js' */
/** @import { Picture } from './icons.js' */
/** @typedef {'overview' | 'staff' | 'profile'} Part of the app */

/**
 * @param {{me: User | null, here: Part, signOut: () => Promise<void>}} options
 */
export function drawHeader({ me, here, signOut }) {
  const header = byId('header');
  document.body.classList.toggle('signed-in', Boolean(me));
  const home = me && worksHere(me) ? '#/staff' : '#/';
  const brand = h('a', { class: 'brand', href: home }, mark(), h('span', null, 'Coffer'));
  if (!me) return header.replaceChildren(brand);
  header.replaceChildren(brand, navigation(me, here), signOutButton(signOut));
  if (me.status === 'frozen') {
    const words = 'The bank has frozen your access: you can look, but no money moves. Please ask the bank why.';
    header.append(h('p', { class: 'frozen-banner', role: 'note' }, words));
  }
}

/** @param {User} me @param {Part} here */
function navigation(me, here) {
  /** @param {Part} name @param {string} href @param {Picture} picture @param {string} words @param {Child} [more] */
  const way = (name, href, picture, words, more) =>
    h('a', { href, 'aria-current': here === name && 'page' }, icon(picture), h('span', null, words), more);
  return h(
    'nav',
    { 'aria-label': 'Main' },
    worksHere(me) && way('staff', '#/staff', 'staff', 'Staff', waitingBadge()),
    way('overview', '#/', 'overview', worksHere(me) ? 'My accounts' : 'Overview'),
    way('profile', '#/profile', 'person', 'Profile'),
  );
}

/** @param {() => Promise<void>} signOut */
function signOutButton(signOut) {
  const onclick = () => signOut().catch((error) => toast(`You are still signed in. ${explain(error)}`));
  return h('button', { type: 'button', class: 'quiet sign-out', onclick }, icon('out'), h('span', null, 'Sign out'));
}

/** @param {(text: string) => void} announce */
export function watchConnection(announce) {
  const banner = byId('offline');
  const update = () => (banner.hidden = navigator.onLine);
  addEventListener('offline', update);
  addEventListener('online', () => (update(), announce('You are online again.')));
  update();
}
