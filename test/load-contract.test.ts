import { describe, expect, test } from 'vitest';
import { type Answer, type Expected, kindOf } from '../k6/lib/contract.ts';

const HEADERS: Record<string, string> = {
  'Content-Type': 'application/problem+json; charset=utf-8',
  'Retry-After': '1',
};
const TRACE = '0123456789abcdef0123456789abcdef';

function answer(status: number, body: unknown, headers: Record<string, string | undefined> = {}): Answer {
  const all: Record<string, string | undefined> = { ...HEADERS, ...headers };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { status, body: text, ms: 1, traceId: TRACE, header: (name) => all[name] };
}

const problem = (status: number, code: string, more: object = {}, headers: Record<string, string | undefined> = {}) =>
  answer(status, { status, code, trace_id: TRACE, ...more }, headers);

const POST: Expected = { status: 201, refusals: ['insufficient_funds'] };

describe('what an answer to a client of the load suite is', () => {
  test.each([
    ['what was asked for', answer(201, {}), 'done'],
    ['a refusal that may be', problem(422, 'insufficient_funds'), 'refused'],
    ['a limit', problem(429, 'rate_limited'), 'limited'],
    ['a cut connection', answer(0, ''), 'ambiguous'],
    ['a busy service', problem(503, 'overloaded'), 'ambiguous'],
    ['no database', problem(503, 'database_unavailable'), 'ambiguous'],
    ['a request that was not sent in time', problem(408, 'malformed_json'), 'ambiguous'],
    ['a deadline', problem(504, 'deadline_exceeded'), 'ambiguous'],
    ['the first one still at work', problem(409, 'idempotency_in_flight'), 'ambiguous'],
  ])('%s', (_what, given, kind) => {
    expect(kindOf(given, POST)).toBe(kind);
  });

  test.each([
    ['another status of success', answer(200, {})],
    ['a refusal that may not be', problem(422, 'account_closed')],
    ['an error of ours', problem(500, 'internal')],
    ['a code that is not of the contract', problem(422, 'no_luck')],
    ['a code of another status', problem(503, 'rate_limited')],
    ['a document that says another status', problem(422, 'insufficient_funds', { status: 400 })],
    ['a problem without its trace', problem(422, 'insufficient_funds', { trace_id: undefined })],
    [
      'a problem that is typed as something else',
      problem(429, 'rate_limited', {}, { 'Content-Type': 'application/json' }),
    ],
    ['a limit that does not say when to come again', problem(429, 'rate_limited', {}, { 'Retry-After': undefined })],
    ['a busy service that does not either', problem(503, 'overloaded', {}, { 'Retry-After': 'soon' })],
    ['a page of a proxy', answer(502, '<html>Bad gateway</html>', { 'Content-Type': 'text/html' })],
    ['a page of a proxy that says 503', answer(503, '<html></html>', { 'Content-Type': 'text/html' })],
    ['a proxy that was not sent it in time', answer(408, '<html></html>', { 'Content-Type': 'text/html' })],
    ['half a document', answer(422, '{"code":"insuff')],
  ])('%s is wrong', (_what, given) => {
    expect(kindOf(given, POST)).toBe('wrong');
  });
});
