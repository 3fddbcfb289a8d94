/** The app: who is signed in, which screen is shown, and what happens when that changes. */

import { Coffer, ProblemError } from './api/coffer.js';
import { worksHere } from './domain/roles.js';
import { closeDialogs } from './ui/dialog.js';
import { announce, byId, flat, focusHeading, h, toast } from './ui/dom.js';
import { tellOfProblem } from './ui/form.js';
import { askForProof } from './ui/proof.js';
import { resolve } from './ui/router.js';
import { failure, notFound, skeleton } from './ui/states.js';
import { drawHeader, watchConnection } from './ui/shell.js';
import { countWaiting, forgetWaiting } from './ui/waiting.js';
import { account } from './screens/account.js';
import { accountSettings } from './screens/account_settings.js';
import { approvals } from './screens/approvals.js';
import { audit } from './screens/audit.js';
import { bankScreen } from './screens/bank.js';
import { customer } from './screens/customer.js';
import { customers } from './screens/customers.js';
import { holds } from './screens/holds.js';
import { limits } from './screens/limits.js';
import { lostPassword } from './screens/lost_password.js';
import { movement } from './screens/movement.js';
import { movements } from './screens/movements.js';
import { openAccount } from './screens/open_account.js';
import { overview } from './screens/overview.js';
import { profile } from './screens/profile.js';
import { receipt } from './screens/receipt.js';
import { secondFactor } from './screens/second_factor.js';
import { setPassword } from './screens/set_password.js';
import { staffToday } from './screens/staff_today.js';
import { statement } from './screens/statement.js';
import { verifyAddress } from './screens/verify_address.js';
import { webhookScreen } from './screens/webhook.js';
import { webhooks } from './screens/webhooks.js';
import { signIn, signUp } from './screens/welcome.js';

/** @import { Profile } from './api/coffer.js' */
/** @import { Child } from './ui/dom.js' */

/**
 * What a screen gets. It answers with its title and its content.
 * @typedef {{bank: Coffer, me: Me, params: Record<string, string>, query: URLSearchParams, path: string,
 *   signal: AbortSignal, session: typeof session}} Context
 * @typedef {{title: string, content: Child, class?: string}} Screen
 * @typedef {(context: Context) => Screen | Promise<Screen>} ShowScreen
 * @typedef {Profile & {mustEnrol: boolean}} Me `mustEnrol`: has to set up a second factor before anything else
 */

const ENROLMENT = '/profile/second-factor';

/** @type {[string, ShowScreen][]} */
const FOR_ALL = [
  ['/sign-up', signUp],
  ['/lost-password', lostPassword],
  ['/set-password/:token', setPassword],
  ['/verify-address/:token', verifyAddress],
];
/** @type {[string, ShowScreen][]} */
const FOR_THE_SIGNED_IN = [
  ['/', overview],
  ['/open-account', openAccount],
  ['/accounts/:number', account],
  ['/accounts/:number/statement', statement],
  ['/accounts/:number/entries/:id', receipt],
  ['/accounts/:number/holds', holds],
  ['/accounts/:number/limits', limits],
  ['/accounts/:number/settings', accountSettings],
  ['/accounts/:number/:kind', movement],
  ['/profile', profile],
  [ENROLMENT, secondFactor],
  ['/set-password/:token', setPassword],
  ['/verify-address/:token', verifyAddress],
  ['/staff', staffToday],
  ['/staff/customers', customers],
  ['/staff/users/:id', customer],
  ['/staff/movements', movements],
  ['/staff/approvals', approvals],
  ['/staff/bank', bankScreen],
  ['/staff/webhooks', webhooks],
  ['/staff/webhooks/:id', webhookScreen],
  ['/staff/audit', audit],
];

/** @type {Coffer} */
const bank = new Coffer({ session: 'cookie', askForProof: () => askForProof(bank) });
const main = byId('main');
/** @type {Me | null} */
let me = null;
let leaving = new AbortController();
let isFirst = true;

/** What screens may do about who is signed in. */
const session = {
  /** @param {string} email @param {string} password @param {string} [code] */
  async signIn(email, password, code) {
    await bank.signIn(email, password, code);
    await loadMe();
    beginWhereOneWorks();
    await show();
  },
  async signOut() {
    await bank.signOut();
    session.leave('');
  },
  /** Signed out for good, and on purpose: nobody need come back to this screen. @param {string} words */
  leave(words) {
    if (location.hash) history.pushState(null, '', location.pathname);
    forget(words);
  },
  /** After a change of one's own profile. @returns {Promise<Me>} */
  async reload() {
    const read = await loadMe();
    draw();
    return read;
  },
};

/** @returns {Promise<Me>} */
async function loadMe() {
  const user = await bank.me();
  const factor = worksHere(user) ? await bank.secondFactor() : null;
  return (me = { ...user, mustEnrol: Boolean(factor?.required && !factor.enabled) });
}

/** Those who work at the bank come to do that, unless they have asked for another screen. */
function beginWhereOneWorks() {
  if (me && worksHere(me) && !location.hash) history.replaceState(null, '', '#/staff');
}

/** @param {unknown} error */
const asksForEnrolment = (error) => error instanceof ProblemError && error.code === 'second_factor_enrolment_required';

/** Whether the address holds something that names nothing at a bank. @param {unknown} error */
const isNowhere = (error) =>
  error instanceof ProblemError && ['account_number_malformed', 'id_malformed'].includes(error.code);

/** Nobody is signed in any more. Who signs in again comes back to this address. @param {string} words why */
function forget(words) {
  me = null;
  forgetWaiting();
  if (words) toast(words);
  show();
}

function draw() {
  const { path, query } = resolve(location.hash, []);
  const isForOthers = path.startsWith('/staff') || query.has('for');
  drawHeader({
    me,
    here: isForOthers ? 'staff' : path.startsWith('/profile') ? 'profile' : 'overview',
    signOut: session.signOut,
  });
}

/** Shows the screen of the address. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  closeDialogs();
  const { signal } = leaving;
  const place = resolve(location.hash, me ? FOR_THE_SIGNED_IN : FOR_ALL);
  if (me?.mustEnrol && place.path !== ENROLMENT) return location.replace(`#${ENROLMENT}`);
  draw();
  if (me && worksHere(me)) countWaiting(bank);
  main.setAttribute('aria-busy', 'true');
  main.replaceChildren(skeleton());
  const screen = place.screen ?? (me ? notFound : signIn);
  // A screen for everybody needs no session.
  const context = /** @type {Context} */ ({ ...place, bank, me, signal, session });
  const shown = await tryScreen(screen, context);
  if (shown && !signal.aborted) settle(shown);
}

/** @param {ShowScreen} screen @param {Context} context @returns {Promise<Screen | null>} */
async function tryScreen(screen, context) {
  try {
    return await screen(context);
  } catch (error) {
    if (context.signal.aborted) return null; // nobody is looking any more
    if (asksForEnrolment(error)) location.replace(`#${ENROLMENT}`);
    if (isNowhere(error)) return notFound();
    return { title: 'Not available', content: failure(error, show) };
  }
}

/** @param {Screen} screen */
function settle({ title, content, class: name = '' }) {
  document.title = title === 'Coffer' ? title : `${title} · Coffer`;
  main.className = name;
  main.replaceChildren(...flat(content));
  main.removeAttribute('aria-busy');
  window.scrollTo(0, 0);
  if (!isFirst) focusHeading();
  isFirst = false;
}

function listen() {
  addEventListener('hashchange', (event) => {
    // The link that skips to the content is a place in the page, not a screen.
    if (location.hash === '#main') {
      history.replaceState(null, '', new URL(event.oldURL).hash || '#/');
      main.focus();
    } else {
      show();
    }
  });
  bank.addEventListener('signed-out', () => me && forget('You have been signed out.'));
  bank.addEventListener('signed-in', async () => {
    await loadMe();
    await show();
  });
  // Nothing that somebody has asked for fails without a word.
  addEventListener('unhandledrejection', (event) => {
    if (tellOfProblem(event.reason)) event.preventDefault();
  });
  watchConnection(announce);
}

async function start() {
  try {
    if (await bank.resume()) await loadMe();
    beginWhereOneWorks();
  } catch (error) {
    main.replaceChildren(h('h1', { class: 'unseen' }, 'Coffer'), failure(error, start));
    main.removeAttribute('aria-busy');
    // The button to try again takes the focus with it.
    isFirst = false;
    return;
  }
  await show();
}

listen();
start();
