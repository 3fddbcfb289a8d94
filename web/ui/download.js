/** Files to download. */

import { ProblemError } from '../api/coffer.js';
import { h } from './dom.js';
import { explain } from './form.js';
import { icon } from './icons.js';

/**
 * A button that fetches a file and hands it to the browser, and a line for what went wrong.
 * @param {string} words
 * @param {() => Promise<{blob: Blob, name: string}>} fetchFile
 */
export function downloadButton(words, fetchFile) {
  const button = h('button', { type: 'button', class: 'secondary' }, icon('download'), words);
  const line = h('span', { class: 'part-failure', role: 'alert' });
  button.addEventListener('click', async () => {
    line.textContent = '';
    try {
      const { blob, name } = await fetchFile();
      save(blob, name);
    } catch (error) {
      line.textContent = error instanceof ProblemError ? explain(error) : 'The file did not arrive. Please try again.';
    }
  });
  return [button, line];
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h('a', { href: url, download: name }).click();
  // The browser has taken the data by the next task of the event loop.
  setTimeout(() => URL.revokeObjectURL(url));
}
