import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PAYMENT_ACCOUNTS } from '#payments/accounts.js';
import { FACT_TYPES } from '#payments/facts.js';
import { FINDING_KINDS } from '#payments/findings.js';
import { PAYMENT_REQUESTS, TRANSITIONS } from '#payments/transitions.js';
import { type Json, type Merchant, TestApi } from './support/api.js';

/** docs/payments.md: its tables are the code's, and what its examples say happens. */

const PAGE = readFileSync(new URL('../docs/payments.md', import.meta.url), 'utf8');

/** The rows of the table whose first heading is this, cell by cell, without code marks. */
function tableOf(heading: string): string[][] {
  const [, rows = ''] = PAGE.split(new RegExp(`\\n\\| ${heading} \\|.*\\n\\|[-|]+\\n`));
  const lines = rows.split('\n\n')[0]?.split('\n') ?? [];
  return lines.map((line) => line.slice(2, -2).split(' | '));
}

const named = (cell: string | undefined): string[] =>
  Array.from(cell?.matchAll(/`(\w+)`/g) ?? [], ([, name]) => name ?? '');

/** `#### kind`, with the lines of its block. */
const EXAMPLES = [...PAGE.matchAll(/\n#### `(\w+)`\n(?:\n[^`#][^\n]*\n)?\n```\n([^`]*)\n```/g)].map(
  ([, kind = '', block = '']) => ({
    kind,
    lines: block.split('\n'),
  }),
);

describe('the page on payments', () => {
  test('has a row and an example for each kind of fact', () => {
    const rows = tableOf('fact').flatMap(([cell]) => named(cell));
    expect(rows).toEqual([...FACT_TYPES]);
    expect(EXAMPLES.map(({ kind }) => kind)).toEqual([...FACT_TYPES]);
  });

  test('says of every status what can be asked for', () => {
    const rows = tableOf('status').map(([status, ...cells]) => [named(status)[0], ...cells]);
    const table = Object.entries(TRANSITIONS).map(([status, legal]) => [
      status,
      ...PAYMENT_REQUESTS.map((request) => legal[request]),
    ]);
    expect(rows).toEqual(table);
  });

  test('has a row for each finding', () => {
    expect(tableOf('finding').flatMap(([cell]) => named(cell))).toEqual([...FINDING_KINDS]);
  });
});

describe('an example of the page on payments happens as it says', () => {
  let api: TestApi;
  let merchant: Merchant;

  beforeAll(async () => {
    api = await TestApi.start();
  });
  afterAll(() => api.stop());

  test.each(EXAMPLES)('$kind', async ({ kind, lines }) => {
    merchant = await api.merchant('EUR');
    const facts = lines.filter((line) => line.startsWith('> ')).map((line) => JSON.parse(line.slice(2)));
    expect(
      facts.some(({ type }) => type === kind),
      'it is about its kind',
    ).toBe(true);
    const happened: string[] = [];
    for (const [index, fact] of facts.entries()) {
      happened.push(`> ${JSON.stringify(fact)}`);
      const body = {
        provider: 'example',
        event_id: `event-${index}`,
        payment_ref: 'order-1',
        currency: 'EUR',
        occurred_at: new Date(Date.UTC(2026, 10, 20, 12, index)).toISOString(),
        ...fact,
      };
      const { body: answer } = await merchant.client.post('/v1/provider_events', { body });
      happened.push(`< ${answer.outcome}`);
    }
    const { body: found } = await merchant.client.get('/v1/payments?provider=example&provider_ref=order-1');
    expect(found.data.length).toBe(1);
    happened.push(`= ${[found.data[0].status, ...(await accounts())].join(', ')}`);
    expect(happened).toEqual(lines);
  });

  /** The merchant has no other payment: what stands on its accounts is this one's. */
  async function accounts(): Promise<string[]> {
    const { body } = await merchant.client.get('/v1/accounts');
    const on = PAYMENT_ACCOUNTS.map(async (name) => {
      const { id } = body.data.find(({ code }: Json) => code === `${name}:EUR`);
      const { body: balance } = await merchant.client.get(`/v1/accounts/${id}/balance?consistency=strong`);
      const [posted, pending] = [balance.posted, balance.pending].map(
        ({ debits, credits }) => Number(debits) - Number(credits),
      );
      if (!posted && !pending) return '';
      return `${name} ${posted}${pending ? ` (${pending})` : ''}`;
    });
    return (await Promise.all(on)).filter((line) => line !== '');
  }
});
