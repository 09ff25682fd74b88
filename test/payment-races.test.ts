import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { PAYMENTS } from '#payments/payments-extension.js';
import { Deadline } from '#platform/deadline.js';
import { type Answer, type Json, type Merchant, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { factOf, TestPayments } from './support/payments.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

const count = (answers: readonly Answer[]): Record<string, number> => {
  const names = answers.map(({ status, body }) => body.outcome ?? body.code ?? status);
  return Object.fromEntries([...Map.groupBy(names, String)].map(([name, all]) => [name, all.length]));
};

describe('two processes, one payment:', () => {
  let apis: TestApi[];
  let mine: Merchant;
  let ways: Merchant[];

  beforeAll(async () => {
    // A hundred at once wait for each other, and with them for a connection.
    const environment = { DATABASE_CONNECT_TIMEOUT_MS: '8000' };
    const first = await TestApi.start({ environment });
    apis = [first, await TestApi.start({ on: first.on, environment })];
    mine = await first.merchant('EUR');
    ways = apis.map((api) => mine.via(api));
  });
  afterEach(() => {
    for (const api of apis) expect(api.errors).toEqual([]);
  });
  afterAll(async () => {
    await expectVerified((apis[0] as TestApi).on);
    for (const api of apis.toReversed()) await api.stop();
  });

  const through = (index: number): Merchant => ways[index % ways.length] as Merchant;
  const tell = (index: number, payment_ref: string, type: string, more: object): Promise<Answer> =>
    through(index).client.post('/v1/provider_events', {
      body: {
        provider: 'acme',
        event_id: randomUUID(),
        payment_ref,
        type,
        occurred_at: '2026-11-21T17:09:00.000Z',
        currency: 'EUR',
        ...more,
      },
    });
  const ask = (index: number, id: string, what: string, body: object): Promise<Answer> =>
    through(index).client.post(`/v1/payments/${id}/${what}`, { body, key: randomUUID() });

  test('requests and the provider’s facts of the same money never take or give it twice, 64 at once', {
    timeout: 60_000,
  }, async () => {
    const told = await tell(0, 'raced', 'authorised', { amount: '1000' });
    const id = told.body.payment_id;
    const rush = (what: string, type: string): Promise<Answer[]> =>
      Promise.all(
        Array.from({ length: 64 }, (_, index) =>
          // Ten of them are the provider's word on what was asked for.
          index % 6 === 0 && index < 60
            ? tell(index, 'raced', type, { amount: '100' })
            : ask(index, id, what, { amount: '100', ...(what === 'capture' && { final: false }) }),
        ),
      );
    const shown = async (): Promise<Json> => (await mine.client.get(`/v1/payments/${id}`)).body;

    const captures = count(await rush('capture', 'captured'));
    expect((await shown()).amount_captured).toBe('1000');
    expect(captures.applied).toBe(10);
    expect(captures['200'] ?? 0).toBeLessThanOrEqual(10);
    expect((captures['200'] ?? 0) + (captures.invalid_transition ?? 0)).toBe(54);

    const refunds = count(await rush('refund', 'refunded'));
    const end = await shown();
    expect([end.status, end.amount_refunded, end.findings]).toEqual(['refunded', '1000', []]);
    expect(refunds.applied).toBe(10);
    expect((refunds['200'] ?? 0) + (refunds.invalid_transition ?? 0)).toBe(54);
    expect(end.timeline.map(({ outcome }: Json) => outcome)).toEqual(Array(end.timeline.length).fill('applied'));
    for (const code of ['provider_receivable:EUR', 'merchant_payable:EUR']) {
      const { posted, pending } = await mine.balanceOf(mine.accounts[code] as string);
      expect([code, posted.amount, pending.amount]).toEqual([code, '0', '0']);
    }
  });

  test('100 facts of one payment at once, most of them before it exists, all count', { timeout: 60_000 }, async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        index === 60
          ? tell(index, 'crowd', 'authorised', { amount: '99' })
          : tell(index, 'crowd', 'captured', { amount: '1', object_ref: `c${index}` }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(202));
    const { data } = (await mine.client.get('/v1/payments?provider_ref=crowd')).body;
    expect(data).toHaveLength(1);
    expect([data[0].status, data[0].amount_captured, data[0].captures.length]).toEqual(['captured', '99', 99]);
  });

  test('one payment is opened with a reference, however many try', async () => {
    const body = { amount: '5', currency: 'EUR', capture: 'manual', provider: 'acme', provider_ref: 'once' };
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, index) => through(index).client.post('/v1/payments', { body, key: randomUUID() })),
    );
    expect(count(answers)).toEqual({ 201: 1, invalid_transition: 15 });
  });
});

describe('payments in a commit group', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let ledger: TestLedger;
  let payments: TestPayments;
  let merchant: bigint;

  beforeAll(async () => {
    on = await freshDatabase();
    [bystander, ledger] = await Promise.all([Bystander.open(on), TestLedger.open(on, { lanes: 1 })]);
    payments = new TestPayments(ledger);
    merchant = await payments.createMerchant();
  });
  afterAll(async () => {
    await expectVerified(on);
    await Promise.all([ledger.close(), bystander.close()]);
    await on.drop();
  });

  /** What the writer sends for one group, made to wait until all of it has been asked for. */
  async function sentFor(act: () => Promise<unknown>, waiting: number): Promise<string[]> {
    const accounts = await payments.accountIds(merchant);
    const [from, to] = accounts as [bigint, bigint];
    await bystander.lockBalance(from);
    const first = ledger.post(merchant, transfer(from, to, 1n));
    await bystander.untilWaiting();
    const acted = act();
    await until('all wait in the lane', () => ledger.writer.waiting === waiting);
    const query = vi.spyOn(pg.Client.prototype, 'query');
    try {
      await bystander.release();
      await Promise.all([first, acted]);
      return query.mock.calls.map(([config]) => (config as { text?: string }).text ?? String(config));
    } finally {
      query.mockRestore();
    }
  }

  test('cost one statement more in each of its two trips, however many there are', async () => {
    const facts = (ref: string) => [factOf('authorised'), factOf('captured', { objectRef: ref })];
    const posting = transfer(...((await payments.accountIds(merchant)).slice(0, 2) as [bigint, bigint]), 1n);
    const plain = await sentFor(() => ledger.post(merchant, posting), 1);
    const of = (text: string | undefined, sent: string[]) => sent.filter((one) => one === text).length;
    const sent = await sentFor(
      () =>
        Promise.all(
          Array.from({ length: 20 }, (_, index) => payments.tell(merchant, `p${index}`, ...facts(`c${index}`))),
        ),
      40,
    );
    // Two groups each: the one that was held up, and the one that waited for it.
    expect(of('COMMIT', sent)).toBe(of('COMMIT', plain));
    expect([of(PAYMENTS.lookUp?.text, sent), of(PAYMENTS.write?.text, sent)]).toEqual([1, 1]);
    const others = (all: string[]) =>
      all.filter(
        (text) =>
          text !== PAYMENTS.lookUp?.text &&
          text !== PAYMENTS.write?.text &&
          !/due_rows|idempotency_keys AS|late_sums/.test(text),
      );
    expect(new Set(others(sent)).size).toBeLessThanOrEqual(new Set(others(plain)).size);
    const { rows } = await bystander.client.query(
      `SELECT count(*)::int AS payments, sum(amount_captured)::int AS captured, count(DISTINCT xmin::text)::int AS groups FROM payments`,
    );
    expect(rows).toEqual([{ payments: 20, captured: 20_000, groups: 1 }]);
  });

  test('are looked up and written by their keys, whatever the tables hold', async () => {
    const plans = await ledger.database.transaction(
      { merchantIds: [merchant] },
      Deadline.after(60_000),
      async (client) => {
        for (const kind of ['seqscan', 'bitmapscan', 'hashjoin', 'mergejoin']) {
          await client.query({ text: `SELECT set_config('enable_${kind}', 'off', true)` });
        }
        const texts = [PAYMENTS.lookUp?.text, PAYMENTS.write?.text];
        const explain = async (text: string | undefined) =>
          (await client.query({ text: `EXPLAIN (GENERIC_PLAN) ${text}` })).rows
            .map((row) => row['QUERY PLAN'])
            .join('\n');
        return [await explain(texts[0]), await explain(texts[1])];
      },
    );
    for (const plan of plans) expect(plan).not.toMatch(/Seq Scan|Bitmap|Hash Join|Merge Join/);
    const [found, written] = plans as [string, string];
    expect(written).not.toMatch(/Index.* Scan .*on (payments|payment_facts)/);
    const conditions = found.match(/on payment(?:s|_facts) \w+ .*\n *Index Cond: .*/g) ?? [];
    expect(conditions.map((condition) => /subject [>=]+ k\.subject/.test(condition))).toEqual([true, true]);
  });

  test('of two merchants that have the same reference and events each know their own', async () => {
    const other = await payments.createMerchant();
    const waiting = factOf('refunded', { id: 'r', amount: 100n });
    await payments.tell(merchant, 'same', factOf('authorised', { id: 'a' }), waiting);
    await payments.tell(other, 'same', factOf('authorised', { id: 'a', amount: 500n }), waiting);
    // Of one group, and of one event id: here it frees what waits, there it does not.
    await sentFor(
      () =>
        Promise.all([
          payments.tell(merchant, 'same', factOf('captured', { id: 'c' })),
          payments.tell(other, 'same', factOf('voided', { id: 'c', amount: 500n })),
        ]),
      2,
    );
    const { rows } = await bystander.client.query(`
      SELECT p.merchant_id::text AS merchant, p.status, p.amount::int, p.amount_captured::int AS captured, f.outcomes
        FROM payments p CROSS JOIN LATERAL (
             SELECT json_object_agg(f.fact_id, f.outcome) AS outcomes FROM payment_facts f
              WHERE f.merchant_id = p.merchant_id AND f.subject = p.subject) f
       WHERE p.subject = 'acme/same' ORDER BY p.merchant_id`);
    const applied = { a: 'applied', c: 'applied', r: 'applied' };
    expect(rows).toEqual([
      { merchant: String(merchant), status: 'partially_refunded', amount: 1_000, captured: 1_000, outcomes: applied },
      { merchant: String(other), status: 'voided', amount: 500, captured: 0, outcomes: { ...applied, r: 'parked' } },
    ]);
    const groups = await bystander.client.query(`SELECT FROM payments WHERE subject = 'acme/same' GROUP BY xmin::text`);
    expect(groups.rowCount).toBe(1);
  });

  test('are one for a subject, whoever writes it: PostgreSQL sees to that', async () => {
    await payments.tell(merchant, 'twice', factOf('authorised'));
    const again = `INSERT INTO payments SELECT (json_populate_record(p, json_build_object('id', p.id + 1))).*
                     FROM payments p WHERE subject = 'acme/twice'`;
    await expect(bystander.client.query(again)).rejects.toMatchObject({
      constraint: 'payments_merchant_id_subject_key',
    });
  });
});
