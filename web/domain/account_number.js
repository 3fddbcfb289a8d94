/** Account numbers: 14 digits, of which the last two are check digits (ISO 7064 MOD 97-10). */

/** @param {string} number @returns {string} in groups of four, as people read it */
export function groupDigits(number) {
  return number.replace(/(\d{4})(?=\d)/g, '$1\u00a0');
}

/**
 * What somebody typed or pasted, as the bank wants it.
 * @param {string} text
 * @returns {string}
 * @throws {Error} with words for the one who typed it
 */
export function parseAccountNumber(text) {
  const number = text.replace(/[\s\u00a0.-]/g, '');
  if (!number) throw new Error('Enter the account number.');
  if (!/^[1-9]\d{13}$/.test(number)) throw new Error('An account number has 14 digits.');
  if (BigInt(number) % 97n !== 1n) throw new Error('A digit is mistyped: the check digits do not fit.');
  return number;
}
