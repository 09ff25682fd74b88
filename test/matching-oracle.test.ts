import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { closeReport } from '#reconciliation/closing/close-report.js';
import { type BankWorld, bankWorld } from './reconciliation/bank-worlds.js';
import { readFound } from './reconciliation/found.js';
import { nameOf } from './reconciliation/oracle/items.js';
import { Oracle } from './reconciliation/oracle/oracle.js';
import { showOracle } from './reconciliation/oracle/shown.js';
import {
  DAY_MS,
  learn,
  type ToldFact,
  type ToldPayment,
  type ToldPayout,
  type ToldReport,
  type ToldStatement,
  type World,
} from './reconciliation/oracle/told.js';
import { type SmallWorld, smallWorld } from './reconciliation/small-worlds.js';
import { type Merchant, TestApi } from './support/api.js';
import { NOON_MS, TestMatching } from './support/matching.js';
import { SEED } from './support/seed.js';

/** The law of matching (docs/adr/0030) by brute force over plain arrays, against what PostgreSQL makes of the same. */

const RUNS = Number(process.env.MATCHING_RUNS ?? 20);
let api: TestApi;
let matching: TestMatching;

beforeAll(async () => {
  api = await TestApi.start();
  matching = await TestMatching.open(api.on);
});
afterAll(async () => {
  await matching.close();
  await api.stop();
});

test('small worlds in which all collides with all are decided as the law has it', async () => {
  const agree = async ({ payments, later, reports }: SmallWorld) => {
    const merchant = await api.merchant('EUR', 'USD');
    const names = new Map<string, string>();
    const world: World = { payments: [], payouts: [] };
    const tellAll = async (told: readonly ToldPayment[]) => {
      const known = new Set(names.values());
      for (const payment of told) names.set(await tell(merchant, payment, known), nameOf(payment));
      learn(world, told);
    };
    const oracle = new Oracle(world);
    const ids: bigint[] = [];
    await tellAll(payments);
    for (const [nth, report] of reports.entries()) {
      if (nth === 1) await tellAll(later);
      ids.push(await reconcile(BigInt(merchant.id), report));
      oracle.reconcile(report);
      const found = await readFound(matching, BigInt(merchant.id), { reports: ids, payments: names });
      expect(found).toEqual(showOracle(oracle));
    }
  };
  await fc.assert(fc.asyncProperty(smallWorld, agree), { seed: SEED, numRuns: RUNS, interruptAfterTimeLimit: 60_000 });
}, 90_000);

test('banks’ statements are decided as the law has it, whatever is named in them, and whoever reports first', async () => {
  const agree = async (drawn: BankWorld) => {
    const merchant = await api.merchant('EUR', 'USD');
    const merchantId = BigInt(merchant.id);
    const { payouts, later, reports } = withIds(drawn);
    const world: World = { payments: [], payouts: [] };
    const tellAll = async (told: readonly ToldPayout[]) => {
      for (const payout of told) await payOut(merchantId, payout);
      world.payouts.push(...told);
    };
    const oracle = new Oracle(world);
    const ids: bigint[] = [];
    await tellAll(payouts);
    for (const [nth, report] of reports.entries()) {
      if (nth === 1) await tellAll(later);
      ids.push(await reconcile(merchantId, report));
      oracle.reconcile(report);
      const found = await readFound(matching, merchantId, { reports: ids, payments: new Map() });
      expect(found).toEqual(showOracle(oracle));
    }
  };
  await fc.assert(fc.asyncProperty(bankWorld, agree), {
    seed: SEED,
    numRuns: Math.ceil(RUNS / 2),
    interruptAfterTimeLimit: 60_000,
  });
}, 90_000);

/** Payouts have names until they are told. */
function withIds({ payouts, later, reports }: BankWorld): BankWorld {
  const ids = new Map(['o0', 'o1', 'o2', 'o3'].map((name) => [name, String(matching.ledger.ids.next())]));
  const known = <Name extends string | undefined>(name: Name) => (ids.get(name ?? '') ?? name) as Name;
  const named = (told: readonly ToldPayout[]) => told.map((payout) => ({ ...payout, id: known(payout.id) }));
  const rows = (of: ToldReport) => of.rows.map((row) => ({ ...row, reference: known(row.reference) }));
  return {
    payouts: named(payouts),
    later: named(later),
    reports: reports.map((report) => ({ ...report, rows: rows(report) })),
  };
}

async function payOut(merchantId: bigint, { id, amount, currency, status, ...at }: ToldPayout): Promise<void> {
  const { paidAtMs, returnedAtMs } = at;
  const step = (word: string, ms: number) => ({ status: word, at: new Date(ms).toISOString() });
  const paid = status === 'paid' || status === 'returned' ? [step('paid', paidAtMs)] : [];
  const timeline = returnedAtMs === undefined ? paid : [...paid, step('returned', returnedAtMs)];
  await matching.write(merchantId, {
    text: `INSERT INTO payouts (merchant_id, id, created_at, amount, currency, fee, destination, status, transactions, timeline)
           VALUES ($1, $2, snowflake_time($2), $3, $4, 0, 'd', $5, '{}', $6)`,
    values: [merchantId, id, amount, currency, status, JSON.stringify(timeline)],
  });
}

async function tell({ client }: Merchant, payment: ToldPayment, known: ReadonlySet<string>): Promise<string> {
  const { provider, ref, currency, facts } = payment;
  const atMs = Math.min(...facts.map((fact) => fact.atMs));
  const opening: ToldFact[] = known.has(nameOf(payment)) ? [] : [{ type: 'authorised', amount: 10_000n, atMs }];
  const events = [...opening, ...facts].map(({ atMs: happenedMs, objectRef, ...fact }) => ({
    ...fact,
    provider,
    currency,
    event_id: randomUUID(),
    payment_ref: ref,
    object_ref: objectRef,
    occurred_at: new Date(happenedMs).toISOString(),
  }));
  const raw = JSON.stringify({ events }, (_, value) => (typeof value === 'bigint' ? String(value) : value));
  const { status, text, body } = await client.post('/v1/provider_events/batch', { raw });
  if (status !== 200 && status !== 202) throw new Error(text);
  const waiting = body.results.filter(({ outcome }: { outcome: string }) => outcome !== 'applied');
  if (waiting.length > 0) throw new Error(`not applied: ${JSON.stringify(waiting)}`);
  return body.results[0].payment_id;
}

async function reconcile(merchantId: bigint, told: ToldReport): Promise<bigint> {
  const { source, provider, rows, fromMs, toMs, slaDays, statements } = told;
  const planned = rows.map(({ reference: ref, objectRef: object, batch, gross, fee, atMs, ...more }) => ({
    ...more,
    ...(ref !== undefined && { ref }),
    ...(object !== undefined && { object }),
    ...(batch !== undefined && { batch }),
    gross: Number(gross),
    fee: Number(fee),
    day: (atMs - NOON_MS) / DAY_MS,
  }));
  const period = { periodFromMs: fromMs, periodToMs: toMs };
  const report = await matching.stage(merchantId, planned, {
    source,
    provider: provider as 'adyen' | 'stripe' | undefined,
    slaDays,
    ...period,
  });
  if (statements !== undefined) await state(report.merchantId, report.id, statements);
  await matching.match(report);
  await closeReport(matching.matching, report, () => Deadline.after(30_000));
  return report.id;
}

async function state(merchantId: bigint, id: bigint, statements: readonly ToldStatement[]): Promise<void> {
  const text = JSON.stringify(
    statements.map((one) => ({ ...one, currency: 'EUR' })),
    (_, value) => (typeof value === 'bigint' ? String(value) : value),
  );
  await matching.write(merchantId, {
    text: 'UPDATE reconciliations SET statements = $3 WHERE merchant_id = $1 AND id = $2',
    values: [merchantId, id, text],
  });
}
