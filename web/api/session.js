/**
 * Who is signed in: two ways to keep it.
 *
 * Both have the same face. `accessToken` is what requests carry; `renew` gets the next one, once for all who ask at the
 * same time; `accept` takes the answer of a sign-in; `exchange` takes an access token alone; `end` forgets. `onChange` is called with a `Change` whenever it was
 * somebody else, such as another tab, who changed it.
 *
 * @typedef {'signed-in' | 'signed-out'} Change
 * @typedef {{access_token: string, expires_in: number, refresh_token?: string}} Tokens
 * @typedef {(body: object, options?: RequestInit) => Promise<Tokens>} PostRefresh
 */

import { pause } from './transport.js';

/** Tokens in this object and nowhere else: for pages of other origins, and for programs. */
export class BearerSession {
  /** Headers of the calls that sign in, renew and sign out. */
  headers = {};
  accessToken = null;
  #refreshToken = null;
  #renewal = null;

  /** @param {Tokens} tokens */
  accept(tokens) {
    this.accessToken = tokens.access_token;
    this.#refreshToken = tokens.refresh_token ?? null;
  }

  /** @param {Tokens} tokens */
  exchange(tokens) {
    this.accessToken = tokens.access_token;
  }

  end() {
    this.accessToken = this.#refreshToken = null;
  }

  /** @param {PostRefresh} post */
  renew(post) {
    // A refresh token is good once, so everybody waits for the same answer.
    this.#renewal ??= post({ refresh_token: this.#refreshToken ?? '' })
      .then((tokens) => this.accept(tokens))
      .finally(() => (this.#renewal = null));
    return this.#renewal;
  }
}

const LOCK = 'coffer-refresh';
const CHANNEL = 'coffer-session';
/** Since when a refresh of this tab is on its way, so that a reload does not overtake it. */
const ON_ITS_WAY = 'coffer-refresh-sent';
/** How long the answer to a refresh may take to bring its cookie after a reload has left it. */
const ON_ITS_WAY_MS = 1_000;

/**
 * The refresh token is a cookie that no script can read; the access token is in memory, and shared with the other tabs
 * of this origin. For the bank's own pages.
 */
export class CookieSession {
  headers = { 'Coffer-Client': 'web' };
  accessToken = null;
  #renewal = null;
  #channel = new BroadcastChannel(CHANNEL);

  /** @param {(change: Change) => void} onChange */
  constructor(onChange) {
    this.#channel.onmessage = ({ data }) => {
      this.accessToken = data.accessToken;
      if (data.change) onChange(data.change);
    };
  }

  /** @param {Tokens} tokens */
  accept(tokens) {
    this.#set(tokens.access_token, 'signed-in');
  }

  /** @param {Tokens} tokens */
  exchange(tokens) {
    this.#set(tokens.access_token, null);
  }

  end() {
    this.#set(null, 'signed-out');
  }

  /** @param {PostRefresh} post */
  renew(post) {
    this.#renewal ??= this.#renewInTurn(post).finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  /** All tabs have one cookie, good once: two at the same time would look like a thief and end the session. */
  #renewInTurn(post) {
    const stale = this.accessToken;
    return inTurn(async () => {
      if (this.accessToken !== stale && this.accessToken) return; // another tab was quicker
      await waitForTheLastOne();
      sessionStorage.setItem(ON_ITS_WAY, String(Date.now()));
      // `keepalive`: a page that goes away meanwhile must not lose the cookie in the answer.
      const tokens = await post({}, { keepalive: true }).finally(() => sessionStorage.removeItem(ON_ITS_WAY));
      this.#set(tokens.access_token, null);
    });
  }

  #set(accessToken, change) {
    this.accessToken = accessToken;
    this.#channel.postMessage({ accessToken, change });
  }
}

/** One tab after the other; without locks (plain HTTP to another machine) there is no cookie to protect either. */
function inTurn(work) {
  return navigator.locks ? navigator.locks.request(LOCK, work) : work();
}

async function waitForTheLastOne() {
  const sent = Number(sessionStorage.getItem(ON_ITS_WAY) ?? 0);
  const left = sent + ON_ITS_WAY_MS - Date.now();
  if (left > 0) await pause(Math.min(left, ON_ITS_WAY_MS));
}
