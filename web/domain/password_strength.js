/** A guess at how long a password would hold. The bank has the last word: it knows the common ones. */

const MIN_LENGTH = 8;

/**
 * @param {string} password
 * @returns {0 | 1 | 2 | 3 | 4} 0 is shorter than the bank takes
 */
export function strength(password) {
  const characters = [...password];
  if (characters.length < MIN_LENGTH) return 0;
  const kinds = [/\p{Ll}/u, /\p{Lu}/u, /\d/, /[^\p{L}\d]/u].filter((kind) => kind.test(password)).length;
  // Repeats and runs such as "aaaa" and "12345" add little.
  const surprising = characters.filter((char, at) => {
    const step = at ? codeOf(char) - codeOf(characters[at - 1]) : 2;
    return Math.abs(step) > 1;
  }).length;
  const score = surprising + (kinds - 1) * 2;
  return score < 9 ? 1 : score < 13 ? 2 : score < 19 ? 3 : 4;
}

/** @param {string} character */
const codeOf = (character) => character.codePointAt(0) ?? 0;
