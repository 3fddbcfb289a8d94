/** Which screen a hash means: `#/accounts/123?for=456`. */

/**
 * @typedef {{path: string, params: Record<string, string>, query: URLSearchParams}} Place
 */

/** @typedef {Record<string, string | null | undefined>} Query */

/**
 * @template S
 * @param {string} hash
 * @param {[string, S][]} routes patterns such as `/accounts/:number`, and screens
 * @returns {Place & {screen: S | null}}
 */
export function resolve(hash, routes) {
  const [path, search = ''] = (hash.replace(/^#/, '') || '/').split('?', 2);
  const query = new URLSearchParams(search);
  for (const [pattern, screen] of routes) {
    const params = match(pattern, path);
    if (params) return { path, params, query, screen };
  }
  return { path, params: {}, query, screen: null };
}

/**
 * @param {string} pattern
 * @param {string} path
 * @returns {Place['params'] | null}
 */
function match(pattern, path) {
  const [expected, parts] = [pattern.split('/'), path.split('/')];
  if (expected.length !== parts.length) return null;
  /** @type {Place['params']} */
  const params = {};
  for (const [index, part] of expected.entries()) {
    if (part.startsWith(':')) params[part.slice(1)] = decoded(parts[index]);
    else if (part !== parts[index]) return null;
  }
  return params;
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param {string} path @param {Query} [query] @returns {string} */
export function link(path, query = {}) {
  const set = Object.entries(query).flatMap(([name, value]) => (value ? [[name, value]] : []));
  const search = new URLSearchParams(set).toString();
  return `#${path}${search && `?${search}`}`;
}

/**
 * Goes on without leaving the present screen in the history: Back must not return to a form that is done.
 * @param {string} path
 * @param {Query} [query]
 */
export function replaceWith(path, query) {
  location.replace(link(path, query));
}

/**
 * Remembers what a screen shows in its address, without showing it anew.
 * @param {string} path
 * @param {Query} query
 */
export function rememberInAddress(path, query) {
  history.replaceState(history.state, '', link(path, query));
}
