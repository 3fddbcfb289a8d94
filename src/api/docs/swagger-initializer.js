// Swagger UI as it comes, with three additions. Whoever signs in here is authorized for all calls. The account numbers of
// the examples stand for two accounts of theirs, and the ids for what the page has shown last, so that each example works as
// it stands: the second account is opened when an example needs it. And whoever has signed out leaves nothing behind.
const EXAMPLE_ACCOUNT = '10000000000180';
const EXAMPLE_RECEIVER = '10000000000277';
const EXAMPLE_ID = '019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88';
const OWN_ACCOUNT = 'coffer-own-account';
const OWN_RECEIVER = 'coffer-own-receiver';
// An answer from such a path shows an id, or some of them, that may take the place of the example in such another one.
const IDS = [
  { from: /^\/(deposit|withdraw|transfer|transactions\/[^/]+\/reverse|transactions)$/, to: '/transactions/' },
  { from: /^\/(deposit|withdraw|transfer|transactions\/[^/]+\/reverse|approvals)$/, to: '/approvals/' },
  { from: /^\/(me|users)$/, to: '/users/' },
  { from: /^\/me\/sessions$/, to: '/me/sessions/' },
];
const own = (path) => `coffer-own${path}`;
// Where Swagger UI keeps the token over a reload.
const AUTHORIZED = 'authorized';
const SCHEME = 'bearer';

function remember(account, as) {
  if (account) sessionStorage.setItem(as, account.account_number);
}

function rememberIds(path, body) {
  const shown = Array.isArray(body.data) ? body.data.find((item) => !item.current) : body;
  if (!shown?.id) return;
  for (const { from, to } of IDS) {
    if (from.test(path) && (to !== '/approvals/' || shown.status.startsWith('pending'))) {
      sessionStorage.setItem(own(to), shown.id);
    }
  }
}

function forgetAccounts() {
  sessionStorage.removeItem(OWN_ACCOUNT);
  sessionStorage.removeItem(OWN_RECEIVER);
  for (const { to } of IDS) sessionStorage.removeItem(own(to));
}

function forgetWhatIsStored() {
  localStorage.removeItem(AUTHORIZED);
  forgetAccounts();
}

function signOutHere() {
  window.ui.authActions.logout([SCHEME]);
  forgetWhatIsStored();
}

async function rememberAccountsOf(token) {
  forgetAccounts();
  const answer = await fetch('/accounts?limit=100', { headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) return;
  const [first, ...others] = (await answer.json()).data.filter((account) => account.status === 'open');
  remember(first, OWN_ACCOUNT);
  remember(
    others.find((account) => account.currency === first.currency),
    OWN_RECEIVER,
  );
}

function authorize(token) {
  const value = { name: SCHEME, schema: { type: 'http', scheme: 'bearer' }, value: token };
  window.ui.authActions.authorizeWithPersistOption({ [SCHEME]: value });
}

// The bank counts the token no more: after a logout, or because it has expired, or its user has left.
function endsTheToken(response, path) {
  if (response.status === 204) return path === '/logout' || path === '/me';
  return response.status === 401 && /"code":"invalid_token"/.test(response.text);
}

async function learn(response) {
  const path = new URL(response.url, location.href).pathname;
  if (response.status === 201 && path === '/create_account') {
    forgetAccounts();
    remember(JSON.parse(response.text).account, OWN_ACCOUNT);
  }
  if (response.status === 200 && ['/login', '/refresh', '/me/proof'].includes(path)) {
    const token = JSON.parse(response.text).access_token;
    authorize(token);
    if (path === '/login') await rememberAccountsOf(token);
  }
  if (response.status >= 200 && response.status < 203 && response.text?.startsWith('{')) {
    rememberIds(path, JSON.parse(response.text));
  }
  if (endsTheToken(response, path)) signOutHere();
  return response;
}

// Another account of whoever sends the request, in the currency of the first.
async function openReceiver(headers) {
  const json = { 'Content-Type': 'application/json', Authorization: headers.Authorization };
  const first = await fetch(`/accounts/${sessionStorage.getItem(OWN_ACCOUNT)}`, { headers: json });
  if (!first.ok) return;
  const body = JSON.stringify({ currency: (await first.json()).currency, label: 'Receiver of the examples' });
  const opened = await fetch('/accounts', { method: 'POST', headers: json, body });
  if (opened.ok) remember(await opened.json(), OWN_RECEIVER);
}

async function fillIn(request) {
  if (request.loadSpec) return request;
  // Behind a proxy that the bank does not know it takes itself for one on plain HTTP: what is asked here stays here.
  const { pathname, search } = new URL(request.url, location.href);
  request.url = `${location.origin}${pathname}${search}`;
  for (const { to } of IDS) {
    request.url = request.url.replace(to + EXAMPLE_ID, to + (sessionStorage.getItem(own(to)) ?? EXAMPLE_ID));
  }
  if (!sessionStorage.getItem(OWN_ACCOUNT)) return request;
  const needsReceiver = typeof request.body === 'string' && request.body.includes(EXAMPLE_RECEIVER);
  if (needsReceiver && !sessionStorage.getItem(OWN_RECEIVER)) await openReceiver(request.headers);
  for (const [example, as] of [
    [EXAMPLE_ACCOUNT, OWN_ACCOUNT],
    [EXAMPLE_RECEIVER, OWN_RECEIVER],
  ]) {
    const mine = sessionStorage.getItem(as) ?? example;
    request.url = request.url.replaceAll(example, mine);
    if (typeof request.body === 'string') request.body = request.body.replaceAll(example, mine);
  }
  return request;
}

// The button "Logout" of the dialog, too, which would leave an empty list in the storage, and the account beside it.
const forgetAtLogout = () => ({
  statePlugins: {
    auth: {
      wrapActions: {
        logoutWithPersistOption: (logout) => (schemes) => {
          const done = logout(schemes);
          forgetWhatIsStored();
          return done;
        },
      },
    },
  },
});

window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#swagger-ui',
    layout: 'StandaloneLayout',
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl, forgetAtLogout],
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    persistAuthorization: true,
    requestInterceptor: fillIn,
    responseInterceptor: learn,
  });
};
