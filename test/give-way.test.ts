import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Merchant, TestApi, transfer } from './support/api.js';

const MIB = 1_048_576;

let api: TestApi;
let shop: Merchant;
let other: Merchant;

beforeAll(async () => {
  api = await TestApi.start({ environment: { REQUEST_DEADLINE_MS: '60000' } });
  [shop, other] = [await api.merchant(), await api.merchant()];
});
afterAll(() => api.stop());

/** One request, and how many small answers somebody else got meanwhile. That work is cut into pieces, schema.pipe.spec.ts shows. */
async function beside(work: () => Promise<Answer>): Promise<{ answer: Answer; asked: number }> {
  let isOver = false;
  let asked = 0;
  const bystander = (async () => {
    while (!isOver) {
      expect((await other.client.get('/v1/accounts/1')).status).toBe(404);
      asked += 1;
    }
  })();
  const answer = await work();
  isOver = true;
  await bystander;
  return { answer, asked };
}

function batch(raw: string): Promise<Answer> {
  return shop.client.post('/v1/transactions/batch', { raw, key: randomUUID() });
}

/** A thousand transactions that fill the largest body, `entry` again and again in each. */
function filled(entry: string, mode = 'atomic'): string {
  const entries = Math.min(1_900, Math.floor((8 * MIB) / 1_000 / (entry.length + 1)) - 40);
  const item = `{"type":"x","entries":[${Array(entries).fill(entry).join(',')}]}`;
  return `{"mode":"${mode}","transactions":[${Array(1_000).fill(item).join(',')}]}`;
}

describe('a batch of 8 MiB gives way to others', () => {
  test.each([
    ['fractions', '1.5'],
    ['maps of nothing', `{${' '.repeat(20)}}`],
    ['entries with unknown members', '{"account_code":"a","a":1,"b":2,"c":3}'],
  ])('of %s', async (_name, entry) => {
    const body = filled(entry);
    const { answer, asked } = await beside(() => batch(body));
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(answer.body.errors.length).toBeLessThanOrEqual(100);
    expect(asked).toBeGreaterThan(5);
  });

  test('of postings, and tells each in its place', async () => {
    const description = 'x'.repeat(1_000);
    const metadata = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`name-${index}`, 'y'.repeat(480)]));
    const transactions = Array.from({ length: 1_000 }, (_, index) =>
      transfer('cash:EUR', 'suspense:EUR', String(index + 1), { description, metadata }),
    );
    const body = JSON.stringify({ mode: 'independent', transactions });
    expect(body.length).toBeGreaterThan(6 * MIB);
    const { answer, asked } = await beside(() => batch(body));
    expect(answer.status).toBe(200);
    const amounts = answer.body.results.map(
      (result: { transaction: { entries: { amount: string }[] } }) => result.transaction.entries[0]?.amount,
    );
    expect(amounts).toEqual(transactions.map((_, index) => String(index + 1)));
    expect(asked).toBeGreaterThan(5);
  });

  test('the same batch with its members in another order is the same request', async () => {
    const key = randomUUID();
    const items = Array.from({ length: 50 }, () => transfer('cash:EUR', 'suspense:EUR', '1'));
    const ask = (body: object) => shop.client.post('/v1/transactions/batch', { body, key });
    const first = await ask({ mode: 'independent', transactions: items });
    const again = await ask({
      transactions: items.map(({ type, entries }) => ({ entries, type })),
      mode: 'independent',
    });
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([200, 'true']);
    expect(again.body).toEqual(first.body);
    const other = await ask({ mode: 'independent', transactions: items.slice(1) });
    expect(other.body.code).toBe('idempotency_key_reused');
  });
});
