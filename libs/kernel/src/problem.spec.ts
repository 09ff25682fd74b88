import { describe, expect, it } from 'vitest';
import { invalid, notFound, PROBLEMS, type ProblemCode, ProblemError, problemDocument } from './problem.js';

/** The error table of the REST contract, by status. A code may be added; none may change or go. */
const CONTRACT: Record<number, string[]> = {
  400: ['idempotency_key_invalid', 'idempotency_key_required', 'malformed_json'],
  401: ['unauthorized'],
  403: ['forbidden'],
  404: ['not_found'],
  405: ['method_not_allowed'],
  409: ['already_reversed', 'condition_failed', 'idempotency_in_flight', 'invalid_transition', 'not_pending'],
  413: ['payload_too_large'],
  415: ['unsupported_media_type'],
  422: [
    'account_closed',
    'amount_exceeds_remaining',
    'amount_out_of_range',
    'currency_mismatch',
    'idempotency_key_reused',
    'insufficient_funds',
    'unbalanced_entries',
    'validation_failed',
  ],
  429: ['rate_limited'],
  500: ['internal'],
  503: ['database_unavailable', 'overloaded'],
  504: ['deadline_exceeded'],
};

describe('problem codes', () => {
  it('have the statuses of the contract', () => {
    for (const [status, codes] of Object.entries(CONTRACT)) {
      for (const code of codes) expect(PROBLEMS[code as ProblemCode]?.status, code).toBe(Number(status));
    }
  });

  it('have a title each, unlike any other', () => {
    const titles = Object.values(PROBLEMS).map((problem) => problem.title);
    expect(new Set(titles).size).toBe(titles.length);
  });
});

describe('a ProblemError', () => {
  it('carries its code, status, detail and cause', () => {
    const cause = new Error('why');
    const error = new ProblemError('overloaded', 'Too many postings are waiting.', { retryAfterS: 1, cause });
    expect(error).toMatchObject({ name: 'ProblemError', code: 'overloaded', status: 503, retryAfterS: 1, cause });
    expect(error.message).toBe('Too many postings are waiting.');
    expect('cause' in new ProblemError('overloaded', 'Too many.')).toBe(false);
  });

  it('of a field names its path', () => {
    const error = invalid('entries.0.amount', 'must be above 0');
    expect(error.status).toBe(422);
    expect(error.errors).toEqual([{ path: 'entries.0.amount', message: 'must be above 0' }]);
  });

  it('of something that is missing does not say whether it exists elsewhere', () => {
    expect(notFound('account').message).toBe('There is no such account.');
    expect(notFound('account').errors).toBeUndefined();
  });
});

describe('a problem document', () => {
  it('takes title and status from its code, and leaves out what it does not know', () => {
    expect(problemDocument({ code: 'not_found', detail: 'There is no such account.' })).toStrictEqual({
      type: 'https://counterfoil.dev/problems/not_found',
      title: 'There is no such resource',
      status: 404,
      detail: 'There is no such account.',
      code: 'not_found',
    });
  });

  it('tells the trace and the fields at fault', () => {
    const known = { trace_id: 'a'.repeat(32), errors: [{ path: 'entries', message: 'too few' }] };
    expect(problemDocument({ code: 'validation_failed', detail: 'entries: too few', ...known })).toMatchObject(known);
  });
});

describe('where a problem was thrown', () => {
  const framesOf = (error: Error) => error.stack?.split('\n').filter((line) => line.startsWith('    at ')).length;

  it('is noted of a fault, not of what floods are answered', () => {
    expect(framesOf(new ProblemError('rate_limited', 'Wait.'))).toBe(0);
    expect(framesOf(new ProblemError('unauthorized', 'Who?'))).toBe(0);
    expect(framesOf(new ProblemError('deadline_exceeded', 'Late.'))).toBeGreaterThan(0);
    expect(framesOf(new Error('A bug.'))).toBeGreaterThan(0);
  });
});
