/** A bank of one's own: the binary on fresh books, stopped and started at will. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BINARY = process.env.COFFER_BINARY;
/** `sqlite`, or the URL of a PostgreSQL whose database DATABASE is to be replaced by a new one. */
const DATABASE = process.env.TEST_DATABASE;
export const PASSWORD = 'a lamp in the harbour fog';
/** Movements of staff above this, in whole units, need a second person. */
export const APPROVAL_ABOVE = 10_000;

export class Bank {
  #directory = mkdtempSync(join(tmpdir(), 'coffer-browser-'));
  #environment;
  #server = null;
  #admins = null;
  url = null;

  /** @param {Record<string, string>} [settings] environment variables */
  static async open(settings = {}) {
    const bank = new Bank();
    bank.#environment = {
      ...process.env,
      DATABASE_URL: databaseUrl(bank.#directory),
      COFFER_DATA_DIR: bank.#directory,
      COFFER_CALLER_RATE: '0',
      COFFER_ADDRESS_RATE: '0',
      COFFER_ACCOUNTS_PER_DAY: '0',
      COFFER_CHANGES_PER_DAY: '0',
      COFFER_MOVEMENT_RATE: '0',
      COFFER_SIGN_UPS_PER_HOUR: '0',
      ...approvalSetting(),
      ...settings,
    };
    await bank.start();
    return bank;
  }

  /** On the same address as before, if there was one. */
  async start() {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const environment = { ...this.#environment, COFFER_LISTEN: listen };
    const server = spawn(BINARY, [], { cwd: this.#directory, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#server = server;
    // However the tests end, no bank stays behind.
    process.once('exit', () => server.kill());
    let [banner, log] = ['', ''];
    server.stderr.on('data', (text) => (log += text));
    for await (const text of server.stdout) {
      banner += text;
      this.url = /API\s+(http:\S+)/.exec(banner)?.[1] ?? null;
      if (this.url) break;
    }
    if (!this.url) throw new Error(`The bank did not open: ${log}`);
  }

  async stop() {
    const ended = once(this.#server, 'exit');
    this.#server.kill('SIGTERM');
    await ended;
  }

  async close() {
    await this.stop();
    rmSync(this.#directory, { recursive: true });
  }

  /** Makes an admin, as the command line does. */
  createAdmin(email) {
    const options = {
      cwd: this.#directory,
      env: this.#environment,
      input: `${PASSWORD}\n`,
      stdio: ['pipe', 'pipe', 'pipe'],
    };
    execFileSync(BINARY, ['admin', 'create', email], options);
  }

  /** As if nobody had shown a password or a code for hours. What runs on an access token hears of it with the next one. */
  forgetProofs() {
    const sql = 'update sessions set proven_at = 0';
    const url = this.#environment.DATABASE_URL;
    if (url.startsWith('sqlite:'))
      return execFileSync('sqlite3', [url.replace('sqlite://', ''), `pragma busy_timeout = 4000; ${sql}`]);
    const parsed = new URL(url.replace('///', '//localhost/'));
    const connection = [
      '-h',
      parsed.searchParams.get('host'),
      '-U',
      parsed.searchParams.get('user'),
      '-d',
      parsed.pathname.slice(1),
    ];
    return execFileSync('psql', [...connection, '-qc', sql]);
  }

  /** A call of the API, without a browser. */
  async call(method, path, { token, body, headers } = {}) {
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }), ...headers },
      body: body && JSON.stringify(body),
    });
    const answer = response.status === 204 ? undefined : await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** A customer with an account, and money on it if `amount` is given. */
  async customer({ name = 'Ada Lovelace', email = freshEmail(), amount, currency } = {}) {
    const body = { name, email, password: PASSWORD, ...(currency && { currency }) };
    const { user, account } = await this.call('POST', '/create_account', { body });
    const token = await this.token(email);
    const number = account.account_number;
    if (amount)
      await this.call('POST', '/deposit', { token, body: { account_number: number, amount, description: 'Salary' } });
    return { ...user, token, number };
  }

  /** Another customer, whom this one has among the payees. */
  async payee(customer) {
    const payee = await this.customer({ name: 'Bob' });
    const body = { name: payee.name, account_number: payee.number };
    await this.call('POST', '/me/payees', { token: customer.token, body });
    return payee;
  }

  /** Gives a role as two admins do. */
  async giveRole(user, role) {
    this.#admins ??= [freshEmail(), freshEmail()].map((email) => (this.createAdmin(email), email));
    const [first, second] = await Promise.all(this.#admins.map((email) => this.token(email)));
    const { approval_id: id } = await this.call('PUT', `/users/${user.id}/role`, { token: first, body: { role } });
    await this.call('POST', `/approvals/${id}/approve`, { token: second });
  }

  async token(email) {
    return (await this.call('POST', '/login', { body: { email, password: PASSWORD } })).access_token;
  }

  async balance({ token, number }) {
    return (await this.call('GET', `/balance?account_number=${number}`, { token })).balance;
  }

  async movements({ token, number }) {
    return (await this.call('GET', `/transactions?account_number=${number}`, { token })).data;
  }
}

let people = 0;
export const freshEmail = () => `somebody${++people}.${Date.now()}@example.com`;

function databaseUrl(directory) {
  if (DATABASE === 'sqlite') return `sqlite://${directory}/coffer.db`;
  const name = `coffer_${process.pid}_${Date.now()}`;
  const url = new URL(DATABASE.replace('///', '//localhost/'));
  const connection = ['-h', url.searchParams.get('host'), '-U', url.searchParams.get('user')];
  execFileSync('psql', [...connection, '-d', 'postgres', '-qc', `create database ${name}`]);
  return DATABASE.replace('DATABASE', name);
}

/** The variable for {@link APPROVAL_ABOVE}, as `--help` names it. */
function approvalSetting() {
  const help = execFileSync(BINARY, ['--help'], { encoding: 'utf8' });
  const variable = /\[env: (COFFER_\w*APPROV\w*)/.exec(help)?.[1];
  return variable ? { [variable]: String(APPROVAL_ABOVE) } : {};
}
