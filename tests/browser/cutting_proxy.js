/** A way to the bank on which answers break off. */

import { createServer, request as requestOf } from 'node:http';

/** What arrives of an answer that is cut: its head, and the beginning of its body. */
const BYTES_BEFORE_THE_CUT = 40;

/**
 * @param {string} bankUrl
 * @param {(request: import('node:http').IncomingMessage) => boolean} isCut asked once an answer is there
 * @returns {Promise<{url: string, close: () => void}>}
 */
export async function openCuttingProxy(bankUrl, isCut) {
  const server = createServer((request, response) => {
    const { method, headers } = request;
    const onwards = requestOf(new URL(request.url, bankUrl), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      if (!isCut(request)) return answer.pipe(response);
      answer.once('data', (bytes) => response.write(bytes.subarray(0, BYTES_BEFORE_THE_CUT), () => response.destroy()));
    });
    onwards.on('error', () => response.destroy());
    request.pipe(onwards);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const close = () => (server.close(), server.closeAllConnections());
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}
