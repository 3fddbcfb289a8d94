// Swagger UI as it comes, with one addition: the account number of the examples stands for the first account of whoever
// has signed in on this page, so that each example works as it stands.
const EXAMPLE_ACCOUNT = '10000000000180';
const OWN_ACCOUNT = 'coffer-own-account';

const remember = (number) => number && sessionStorage.setItem(OWN_ACCOUNT, number);

async function rememberFirstAccountOf(token) {
  const answer = await fetch('/accounts?limit=1', { headers: { Authorization: `Bearer ${token}` } });
  if (answer.ok) remember((await answer.json()).data[0]?.account_number);
}

async function learn(response) {
  const path = new URL(response.url, location.href).pathname;
  if (response.status === 201 && path === '/create_account') remember(JSON.parse(response.text).account.account_number);
  if (response.status === 200 && path === '/login') await rememberFirstAccountOf(JSON.parse(response.text).access_token);
  return response;
}

function fillIn(request) {
  const own = sessionStorage.getItem(OWN_ACCOUNT);
  if (!own || request.loadSpec) return request;
  request.url = request.url.replaceAll(EXAMPLE_ACCOUNT, own);
  if (typeof request.body === 'string') request.body = request.body.replaceAll(EXAMPLE_ACCOUNT, own);
  return request;
}

window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#swagger-ui',
    layout: 'StandaloneLayout',
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl],
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    persistAuthorization: true,
    requestInterceptor: fillIn,
    responseInterceptor: learn,
  });
};
