import { describe, expect, it } from 'vitest';
import { eventColumns, eventRow, insertEvents, type NewEvent } from './append.js';
import { CATALOGUE } from './catalogue.js';

const told = { occurredAtMs: 1_764_502_000_000, traceContext: undefined };
const held = {
  type: 'transaction.pending',
  data: {
    transaction_id: '5',
    kind: 'pending',
    type: 'sale',
    amount: '7',
    currency: 'EUR',
    parent_id: null,
    external_ref: 'é"',
    effective_at: '2026-11-27T09:00:00.000Z',
    expires_at: null,
    ignored_floor: false,
    metadata: { n: 1 },
    entries: [],
  },
  ...told,
} as const satisfies NewEvent;

describe('an event that is appended', () => {
  it('is of the version that is written today, with its data as JSON', () => {
    const { data, ...row } = eventRow(9n, held, undefined);
    expect(row).toEqual({ merchantId: 9n, type: held.type, version: CATALOGUE[held.type].version, ...told });
    expect(JSON.parse(data)).toEqual(held.data);
  });

  it('has the data of its type, or does not compile', () => {
    const disabled = { endpoint_id: '1', url: 'https://example.com', reason: 'gone', failing_since: '' } as const;
    const events: NewEvent[] = [
      { type: 'account.closed', data: { account_id: '1' }, ...told },
      // @ts-expect-error It is an endpoint's.
      { type: 'account.closed', data: { endpoint_id: '1' }, ...told },
      // @ts-expect-error It is no event's.
      { type: 'account.opened', data: { account_id: '1' }, ...told },
      // @ts-expect-error A hold has no parent.
      { ...held, data: { ...held.data, parent_id: '4' } },
      // @ts-expect-error It is of version 1.
      { type: 'webhook_endpoint.disabled', data: disabled, ...told },
    ];
    expect(events).toHaveLength(5);
  });

  it('has a parameter for each column, from where it is asked to begin', () => {
    const parameters = [...eventColumns([eventRow(9n, held, undefined)])];
    expect(parameters).toHaveLength(6);
    expect(insertEvents(29).match(/\$\d+/g)).toEqual(parameters.map((_, index) => `$${29 + index}`));
  });
});
