/** What can go wrong when talking to the bank. Every error the client throws is one of these. */

export class CofferError extends Error {
  name = 'CofferError';
}

/** No answer: no network, or the bank is down. What was asked may or may not have been done. */
export class NetworkError extends CofferError {
  name = 'NetworkError';
}

/** The answer was a problem document (RFC 9457). Tell kinds apart by `code`. */
export class ProblemError extends CofferError {
  name = 'ProblemError';

  /**
   * @param {{status: number, code: string, title: string, detail: string, request_id?: string,
   *   transaction_id?: string, errors?: {pointer: string, code: string, detail: string}[]}} problem
   * @param {number | null} [retryAfterSeconds]
   */
  constructor(problem, retryAfterSeconds = null) {
    super(problem.detail);
    this.status = problem.status;
    /** The same kind of problem always has the same code, such as `insufficient_funds`. */
    this.code = problem.code;
    this.title = problem.title;
    /** For a person: what happened and what to do. */
    this.detail = problem.detail;
    /** The bank's log has the same id. */
    this.requestId = problem.request_id ?? null;
    /** The movement to look up, when the bank does not know whether it was booked (`outcome_unknown`). */
    this.transactionId = problem.transaction_id ?? null;
    /** The fields to correct; `pointer` is `/amount` for the field `amount` of the body. */
    this.errors = problem.errors ?? [];
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Nobody is signed in (any more). */
export class SignedOutError extends ProblemError {
  name = 'SignedOutError';
}

/** Whether the bank wants password or code once more before it does this. */
export function isAskedForProof(error) {
  return error instanceof ProblemError && error.code === 'recent_sign_in_required';
}

/**
 * The error of an answer that is not a success, also when something between here and the bank has made it.
 * @param {Response} response
 * @returns {Promise<ProblemError>}
 */
export async function problemOf(response) {
  const plain = {
    status: response.status,
    code: 'unexpected_answer',
    title: 'Unexpected answer',
    detail: `The bank gave an answer that cannot be read (HTTP ${response.status}).`,
  };
  const isProblem = response.headers.get('Content-Type')?.startsWith('application/problem+json');
  const body = isProblem ? await response.json().catch(() => ({})) : {};
  return new ProblemError({ ...plain, ...body }, retryAfterSeconds(response));
}

/**
 * `Retry-After` in seconds, whether it was sent as seconds or as a date (RFC 9110).
 * @param {Response} response
 * @returns {number | null}
 */
export function retryAfterSeconds(response) {
  const value = response.headers.get('Retry-After');
  if (!value) return null;
  if (/^\d+$/.test(value)) return Number(value);
  const moment = Date.parse(value);
  return Number.isNaN(moment) ? null : Math.max(0, (moment - Date.now()) / 1000);
}
