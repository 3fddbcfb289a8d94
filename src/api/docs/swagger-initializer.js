// Swagger UI as it comes, with two additions: the account number of the examples stands for the first account of whoever
// has signed in on this page, so that each example works as it stands. And whoever has signed out leaves nothing behind.
const EXAMPLE_ACCOUNT = '10000000000180';
const OWN_ACCOUNT = 'coffer-own-account';
// Where Swagger UI keeps the token over a reload.
const AUTHORIZED = 'authorized';
const SCHEME = 'bearer';

const remember = (number) => number && sessionStorage.setItem(OWN_ACCOUNT, number);

function forgetWhatIsStored() {
  localStorage.removeItem(AUTHORIZED);
  sessionStorage.removeItem(OWN_ACCOUNT);
}

function signOutHere() {
  window.ui.authActions.logout([SCHEME]);
  forgetWhatIsStored();
}

async function rememberFirstAccountOf(token) {
  const answer = await fetch('/accounts?limit=1', { headers: { Authorization: `Bearer ${token}` } });
  if (answer.ok) remember((await answer.json()).data[0]?.account_number);
}

// The bank counts the token no more: after a logout, or because it has expired, or its user has left.
function endsTheToken(response, path) {
  if (response.status === 204) return path === '/logout' || path === '/me';
  return response.status === 401 && JSON.parse(response.text || '{}').code === 'invalid_token';
}

async function learn(response) {
  const path = new URL(response.url, location.href).pathname;
  if (response.status === 201 && path === '/create_account') remember(JSON.parse(response.text).account.account_number);
  if (response.status === 200 && path === '/login')
    await rememberFirstAccountOf(JSON.parse(response.text).access_token);
  if (endsTheToken(response, path)) signOutHere();
  return response;
}

function fillIn(request) {
  const own = sessionStorage.getItem(OWN_ACCOUNT);
  if (!own || request.loadSpec) return request;
  request.url = request.url.replaceAll(EXAMPLE_ACCOUNT, own);
  if (typeof request.body === 'string') request.body = request.body.replaceAll(EXAMPLE_ACCOUNT, own);
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
