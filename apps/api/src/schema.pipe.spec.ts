import type { FastifyRequest } from 'fastify';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { slowClock } from '../../../test/support/slow-clock.js';
import { idempotencyInTurns, listInTurns } from './idempotency.js';
import { SchemaPipe } from './schema.pipe.js';
import { postBatch, postTransaction } from './transactions/schemas.js';

const entry = (direction: string) => ({ account_code: 'a', direction, amount: '1', currency: 'EUR' });
const item = { type: 'x', entries: [entry('debit'), entry('credit')] };
const batch = (transactions: unknown[], more: object = {}) => ({ mode: 'atomic', transactions, ...more });
/** A batch whose items are validated along with it: those of the API are looked into one by one by their controller. */
const schema = postBatch.extend({
  transactions: z.array(postTransaction).min(1).max(1_000, 'must have at most 1000 transactions'),
});
const validate = (value: unknown) => new SchemaPipe().transform(value, { type: 'body', schema } as never);

/** What comes of the work, and how often others had their turn meanwhile, with a clock of which 20 looks are a millisecond. */
async function turns<T>(work: () => T | Promise<T>): Promise<{ result: T; count: number }> {
  const clock = slowClock(0.05);
  let count = 0;
  let next = setImmediate(function turn() {
    count += 1;
    next = setImmediate(turn);
  });
  const result = await work();
  clearImmediate(next);
  clock.restore();
  return { result, count };
}

describe('a batch of 1,000', () => {
  const thousand = Array.from({ length: 1_000 }, () => item);

  it('is validated, hashed and answered with others in between', async () => {
    const { result, count } = await turns(() => validate(batch(thousand)));
    expect(result).toEqual(schema.parse(batch(thousand)));
    expect(count).toBeGreaterThan(40);

    const request = { method: 'POST', url: '/', headers: { 'idempotency-key': 'k' }, body: batch(thousand) };
    expect((await turns(() => idempotencyInTurns(request as unknown as FastifyRequest))).count).toBeGreaterThan(40);

    const sent = await turns(() => listInTurns('results', thousand, (body) => body));
    expect(String(sent.result.payload)).toBe(JSON.stringify({ results: thousand }));
    expect(sent.count).toBeGreaterThan(40);
  });

  it('is not looked into once there are more faults than are told', async () => {
    const looked: number[] = [];
    const watched = thousand.map((_, index) => ({
      get type() {
        looked.push(index);
        return 'x';
      },
    }));
    const bad = watched.map((each) => Object.assign(each, { a: 1, b: 2, c: 3, d: 4 }));
    await expect(validate(batch(bad))).rejects.toMatchObject({ code: 'validation_failed' });
    expect(Math.max(...looked)).toBeLessThan(200);
  });
});

describe('a list that is validated in turns', () => {
  const errorsOf = async (value: unknown) => {
    try {
      await validate(value);
      return [];
    } catch (error) {
      return (error as { errors: { path: string }[] }).errors;
    }
  };

  // A short list goes the plain way: what is found in it there is found here.
  it.each<[string, (length: number) => unknown]>([
    ['an element of another type', (length) => batch([...Array(length - 1).fill(item), 7])],
    [
      'a fault deep in an element',
      (length) => batch([...Array(length - 1).fill(item), { ...item, entries: [entry('up'), 1] }]),
    ],
    ['an unknown member beside it', (length) => batch(Array(length).fill(item), { extra: 1 })],
    ['a fault beside it', (length) => batch(Array(length).fill(item), { mode: 'both' })],
    ['no fault', (length) => batch(Array(length).fill(item))],
  ])('tells %s as a short one does', async (_name, make) => {
    const inPlace = (length: number) => async () =>
      JSON.parse(
        JSON.stringify(await errorsOf(make(length))).replaceAll(`transactions.${length - 1}`, 'transactions.last'),
      );
    expect(await inPlace(300)()).toEqual(await inPlace(3)());
  });

  it('tells that it is too long, and nothing of its elements', async () => {
    expect(await errorsOf(batch(Array(1_001).fill(7)))).toEqual([
      { path: 'transactions', message: 'must have at most 1000 transactions' },
    ]);
  });
});
