/** A mail server that the tests start, and what it has got: that of `tests/bank/`. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { until } from './until.js';

const SCRIPT = new URL('../bank/smtp_server.py', import.meta.url).pathname;
/** Debian's Python has Debian's packages, whatever else is on the PATH. */
const PYTHONS = ['python3', '/usr/bin/python3'];

export class PostOffice {
  mails = [];
  #server;

  static async open() {
    const post = new PostOffice();
    const python = PYTHONS.find((each) => spawnSync(each, ['-c', 'import aiosmtpd']).status === 0);
    if (!python) throw new Error('the tests need a mail server: apt-get install python3-aiosmtpd');
    post.#server = spawn(python, [SCRIPT, '{}'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: post.#server.stdout });
    [post.port] = await once(lines, 'line');
    lines.on('line', (line) => post.mails.push(JSON.parse(line)));
    return post;
  }

  /** By which a bank sends mail to it. @param {string} url of the bank */
  settings(url) {
    return {
      COFFER_SMTP_URL: `smtp://127.0.0.1:${this.port}?tls=none`,
      COFFER_MAIL_FROM: 'Coffer <bank@example.org>',
      COFFER_PUBLIC_URL: url,
    };
  }

  /** Waits for the newest mail to an address about this, and returns what its link has behind the address of the bank. */
  async link(to, subject) {
    const sought = (each) => each.to[0] === to && each.subject === subject;
    const mail = await until(() => this.mails.findLast(sought), `a mail about ${subject} to ${to}`);
    return /#\/\S+/.exec(mail.text)[0];
  }

  close() {
    this.#server.kill();
  }
}
