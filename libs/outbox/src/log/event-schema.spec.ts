import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { LoggedEvent } from '../consumers/consumer.js';
import { CATALOGUE, readEvent, UnknownEvent } from './catalogue.js';
import { EventSchema, shapeOf } from './event-schema.js';

const SCHEMA = EventSchema.first('Something happened.', z.strictObject({ amount: z.number() }))
  .next(z.strictObject({ amount: z.string() }), {
    why: 'doubles lose digits',
    upcast: ({ amount }) => ({ amount: String(amount) }),
  })
  .next(z.strictObject({ amount: z.string(), currency: z.string() }), {
    why: 'there is more than one currency',
    upcast: ({ amount }) => ({ amount: `${amount}00`, currency: 'EUR' }),
  });

describe('a chain of upcasters', () => {
  it.each([
    [1, { amount: 7 }, { amount: '700', currency: 'EUR' }],
    [2, { amount: '7' }, { amount: '700', currency: 'EUR' }],
    [3, { amount: '7', currency: 'JPY' }, { amount: '7', currency: 'JPY' }],
  ])('begins at the version %i that was written', (version, data, expected) => {
    expect(SCHEMA.upcast(data, version)).toEqual(expected);
  });

  it('leaves the data that it was given alone', () => {
    const data = Object.freeze({ amount: 7 });
    SCHEMA.upcast(data, 1);
    expect(data).toEqual({ amount: 7 });
  });
});

describe('a shape', () => {
  it('tells fields apart, and not what is said about them', () => {
    const plain = shapeOf(z.strictObject({ description: z.string() }));
    expect(shapeOf(z.strictObject({ description: z.string().describe('In words.') }))).toEqual(plain);
    expect(shapeOf(z.strictObject({ description: z.string().nullable() }))).not.toEqual(plain);
    expect(shapeOf(z.strictObject({ description: z.string(), more: z.string() }))).not.toEqual(plain);
    expect(shapeOf(z.strictObject({ name: z.string() }))).not.toEqual(plain);
  });
});

describe('reading the log', () => {
  const logged = (type: string, version: number): LoggedEvent => ({
    merchantId: 1n,
    xid: 2n,
    seq: 3n,
    type,
    version,
    occurredAtMs: 4,
    traceContext: undefined,
    data: '{"account_id":"5"}',
  });

  it('gives what is known, typed, beside its place in the log', () => {
    const event = readEvent(logged('account.closed', 1));
    expect(event).toEqual({ ...logged('account.closed', 1), data: { account_id: '5' } });
    if (event.type === 'account.closed') expect(event.data.account_id).toBe('5');
  });

  it.each([
    ['account.closed', CATALOGUE['account.closed'].version + 1],
    ['account.renamed', 1],
    ['toString', 1],
    ['__proto__', 1],
  ])('refuses %s of version %i', (type, version) => {
    expect(() => readEvent(logged(type, version))).toThrow(UnknownEvent);
  });
});
