import { describe, expect, it } from 'vitest';
import type { LoggedEvent } from '#outbox/consumers/consumer.js';
import { eventText } from './schemas.js';

function logged(event: Partial<LoggedEvent>): LoggedEvent {
  const occurredAtMs = Date.UTC(2026, 10, 27, 12);
  const place = { merchantId: 1n, xid: 7n, seq: 9n, occurredAtMs, traceContext: undefined };
  return { ...place, type: 'account.closed', version: 1, data: '{"account_id":"5"}', ...event };
}

const told = (type: string, version: number, data: object): string =>
  JSON.stringify({ id: '7-9', type, version, occurred_at: '2026-11-27T12:00:00.000Z', data });

describe('an event as it is told', () => {
  it('has its data as our own writers wrote it', () => {
    const data = '{"account_id":"5","note":"a \\" : b"}';
    expect(eventText(logged({ data }))).toBe(told('account.closed', 1, JSON.parse(data)));
  });

  it.each([
    ['between members', '{"account_id" : "5", "list" : [1, 2]}'],
    ['between lines', '{"account_id":"5","list":[{"a":1}, \n {"a":2}]}'],
    ['of nothing', '{}'],
  ])('has no white space that PostgreSQL wrote: %s', (_, data) => {
    expect(eventText(logged({ data }))).toBe(told('account.closed', 1, JSON.parse(data)));
  });

  it('of a newer build is told as that build wrote it', () => {
    expect(eventText(logged({ version: 99 }))).toBe(told('account.closed', 99, { account_id: '5' }));
    expect(eventText(logged({ type: 'of.tomorrow' }))).toBe(told('of.tomorrow', 1, { account_id: '5' }));
  });
});
