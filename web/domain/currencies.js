/** Currencies to choose from. The bank takes every one of ISO 4217; these are the ones most people look for. */

// prettier-ignore
const COMMON = [
  'AED', 'AUD', 'BHD', 'BRL', 'CAD', 'CHF', 'CLP', 'CNY', 'COP', 'CZK', 'DKK', 'EUR', 'GBP', 'HKD', 'HUF', 'IDR', 'ILS',
  'INR', 'ISK', 'JPY', 'KRW', 'KWD', 'MXN', 'MYR', 'NOK', 'NZD', 'PHP', 'PLN', 'RON', 'SAR', 'SEK', 'SGD', 'THB', 'TND',
  'TRY', 'TWD', 'UAH', 'USD', 'VND', 'ZAR',
];

/** @returns {[string, string][]} codes and names, the bank's own choice first */
export function currencyChoices() {
  const names = new Intl.DisplayNames(undefined, { type: 'currency' });
  /** @param {string} code @returns {[string, string]} */
  const choice = (code) => [code, `${code} – ${names.of(code)}`];
  return [['', 'The bank’s usual one'], ...COMMON.map(choice)];
}
