import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FeeRule } from '#fees/fee-plan.js';
import { LEDGER_CHECKS } from '#ledger/verify/checks.js';
import { verify } from '#platform/verify.js';
import { SETTLEMENT_CHECKS } from '#settlement/checks.js';
import { dayAfter } from './night/clocks.js';
import { amountsOf, type Night, type Posted, settle, type Terms } from './night/oracle.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { SEED } from './support/seed.js';
import { type Happening, TestSettlement } from './support/settlement.js';
import { offendersOf } from './support/verified.js';

const HOUR_MS = 3_600_000;
const RUNS = 60;
const MINUTES_AHEAD_MS = 240_000;

let on: TestDatabase;
let ledger: TestLedger;
/** By how much they draft at once: whatever is cut, it comes to the same. */
let settlers: TestSettlement[];

beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  settlers = await Promise.all([1, 3, 20_000].map((chunkEntries) => TestSettlement.of(ledger, { chunkEntries })));
});
afterAll(async () => {
  await ledger.close();
  await on.drop();
});

const byOwner = <Row extends Record<string, unknown>>(text: string, ...values: unknown[]): Promise<Row[]> =>
  asAdmin(on.ownerUrl, async (owner) => (await owner.query<Row>(text, values)).rows);

/** The last nights of summer time in Berlin and New York among them, a skipped hour in none: those are by hand. */
const STARTS = ['2025-10-23', '2025-10-30', '2026-03-05', '2026-03-26'];
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kathmandu',
  'Pacific/Kiritimati',
  'Australia/Lord_Howe',
];
const CUTOFFS = ['00:00', '02:00', '22:00'];
const DAYS = 6;
const CURRENCIES = ['EUR', 'JPY'];
/** Of two payments, so that they have something to do with each other. */
const SUBJECTS = [1n, 2n];

const happening = fc
  .record({
    kind: fc.constantFrom<Happening['kind']>('payment', 'payment', 'refund', 'dispute', 'other', 'payout'),
    amount: fc.bigInt({ min: 1n, max: 400n }).map((amount) => amount * 25n),
    // Most captures succeed, and most refunds and disputes take.
    isUndone: fc.nat(5).map((n) => n === 0),
    subject: fc.constantFrom(...SUBJECTS),
    currency: fc.constantFrom(...CURRENCIES),
    day: fc.integer({ min: -1, max: DAYS }),
    hour: fc.integer({ min: 0, max: 47 }).map((half) => half / 2),
    fee: fc.bigInt({ min: -5n, max: 50n }),
    isAhead: fc.nat(15).map((n) => n === 0),
  })
  .map((one) => ({ ...one, amount: one.isUndone === (one.kind === 'payment') ? -one.amount : one.amount }))
  .map((one) => (one.kind === 'payout' ? { ...one, amount: one.amount < 0n ? one.amount : -one.amount } : one));

const rule = fc.record({
  appliesTo: fc.constantFrom<FeeRule['appliesTo']>('payment', 'payment', 'refund', 'dispute'),
  currency: fc.constantFrom(...CURRENCIES),
  percentBps: fc.constantFrom(0, 1, 50, 150, 290, 333, 10_000),
  fixed: fc.bigInt({ min: 0n, max: 81n }),
  min: fc.option(fc.bigInt({ min: 0n, max: 100n }), { nil: undefined }),
  max: fc.option(fc.bigInt({ min: 100n, max: 500n }), { nil: undefined }),
  tierFrom: fc.constantFrom(0n, 0n, 5_000n, 20_000n),
});
const rules = fc.uniqueArray(rule, {
  maxLength: 8,
  selector: ({ appliesTo, currency, tierFrom }) => `${appliesTo} ${currency} ${tierFrom}`,
});

const story = fc.record({
  start: fc.constantFrom(...STARTS),
  zone: fc.constantFrom(...ZONES),
  cutoff: fc.constantFrom(...CUTOFFS),
  versions: fc.tuple(rules, fc.boolean(), rules, fc.boolean(), fc.integer({ min: 1, max: DAYS * 24 })),
  steps: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.array(happening, { minLength: 1, maxLength: 6 }) },
      { weight: 2, arbitrary: fc.record({ day: fc.integer({ min: -2, max: DAYS }), settler: fc.nat(2) }) },
    ),
    { minLength: 2, maxLength: 10 },
  ),
});

test('whatever happened, and whenever it was settled, each entry is settled once, for what the law says', async () => {
  await fc.assert(
    fc.asyncProperty(story, async (told) => {
      const startMs = Date.parse(`${told.start}T00:00:00Z`);
      const [first] = settlers as [TestSettlement];
      const merchantId = await first.createMerchant({
        timeZone: told.zone,
        cutoff: told.cutoff,
        currencies: CURRENCIES,
        createdAtMs: startMs,
      });
      const [before, returnsBefore, after, returnsAfter, hours] = told.versions;
      const changedMs = startMs + hours * HOUR_MS;
      const versions = [
        { validFromMs: -Infinity, refundReturnsFee: returnsBefore, rules: before },
        { validFromMs: changedMs, refundReturnsFee: returnsAfter, rules: after },
      ];
      const plan = String(await first.chargeBy(merchantId, versions));
      const nights: Night[] = [];
      const outcomes: string[] = [];
      for (const step of told.steps) {
        if (Array.isArray(step)) {
          const ahead = Date.now() + MINUTES_AHEAD_MS;
          const atMs = (day: number, hour: number) => startMs + (day * 24 + hour) * HOUR_MS;
          const happened = step.map(({ day, hour, isAhead, fee, ...one }) => ({
            ...one,
            atMs: isAhead ? ahead : atMs(day, hour),
            ...(one.kind === 'payout' && { fee }),
          }));
          await first.happen(merchantId, ...happened);
          continue;
        }
        const date = dayAfter(told.start, step.day);
        nights.push({ date, seen: await versionsOf(merchantId) });
        const [result] = await (settlers[step.settler] as TestSettlement).settle([merchantId], date);
        // Of a day before those that are settled the oracle says `empty`.
        outcomes.push(result?.problem?.code === 'invalid_transition' ? 'empty' : String(result?.outcome));
      }
      const terms: Terms = {
        clock: { zone: told.zone, cutoff: told.cutoff },
        openedMs: startMs,
        versions: versions.map((version, index) => ({
          ...version,
          plan,
          version: index + 1,
          rules: version.rules.map(saidOf),
        })),
        plans: [{ plan, validFromMs: -Infinity }],
      };
      const posted = await postedTo(merchantId);
      const meant = settle(terms, posted, nights);
      expect(outcomes).toEqual(meant.outcomes);
      expect(await settlementsOf(merchantId)).toEqual(
        meant.settlements
          .map((one) => {
            const { items, ...amounts } = amountsOf(one);
            const texts = Object.fromEntries(Object.entries(amounts).map(([name, value]) => [name, String(value)]));
            return { business_date: one.day.date, currency: one.currency, ...texts, items: String(items) };
          })
          .toSorted(byDayAndCurrency),
      );
      expect(await linesOf(merchantId)).toEqual(
        meant.settlements
          .flatMap(({ currency, day, lines }) =>
            lines.map((line) => ({
              currency,
              version: String(line.version),
              settled_on: day.date,
              kind: line.kind,
              amount: String(line.amount),
              fee: String(line.charged),
              plan_version: line.plan?.version ?? null,
              business_date: line.date,
            })),
          )
          .toSorted((a, b) => compare(a.currency, b.currency) || Number(a.version) - Number(b.version)),
      );
      for (const currency of CURRENCIES) {
        const net = meant.settlements
          .filter((one) => one.currency === currency)
          .reduce((sum, one) => sum + amountsOf(one).net, 0n);
        const sum = (of: readonly Posted[]) => of.reduce((total, { amount }) => total + amount, 0n);
        const own = (of: readonly Posted[]) => of.filter((one) => one.currency === currency);
        const untaken = own(meant.unsettled).filter(({ kind }) => kind !== 'payout');
        const paidOut = sum(own(posted).filter(({ kind }) => kind === 'payout'));
        expect(await balanceOf(merchantId, currency)).toBe(net + paidOut + sum(untaken));
      }
    }),
    { numRuns: RUNS, seed: SEED },
  );
}, 300_000);

const saidOf = ({ min, max, ...rest }: FeeRule) => ({
  ...rest,
  ...(min !== undefined && { min }),
  ...(max !== undefined && { max }),
});

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function byDayAndCurrency(
  a: { business_date: string; currency: string },
  b: { business_date: string; currency: string },
): number {
  return compare(a.business_date, b.business_date) || compare(a.currency, b.currency);
}

const PAYABLES = `SELECT id, currency FROM accounts WHERE merchant_id = $1 AND code = 'merchant_payable:' || currency`;

async function versionsOf(merchantId: bigint): Promise<Map<string, number>> {
  const rows = await byOwner<{ currency: string; version: string }>(
    `SELECT p.currency, b.version FROM (${PAYABLES}) p JOIN balances b ON b.merchant_id = $1 AND b.account_id = p.id`,
    String(merchantId),
  );
  return new Map(rows.map(({ currency, version }) => [currency, Number(version)]));
}

/** All but the settlements' own fees. */
async function postedTo(merchantId: bigint): Promise<Posted[]> {
  const rows = await byOwner<Record<string, string | null>>(
    `SELECT p.currency, e.account_version AS version, coalesce(i.kind, 'other') AS kind, i.subject_id AS subject, e.transaction_id,
            -e.direction * e.posted_amount AS amount, (extract(epoch FROM e.effective_at) * 1000)::bigint AS at, i.fee
       FROM (${PAYABLES}) p
       JOIN entries e ON e.merchant_id = $1 AND e.account_id = p.id
       LEFT JOIN payable_items i ON i.merchant_id = $1 AND i.account_id = e.account_id AND i.account_version = e.account_version
      WHERE i.kind IS DISTINCT FROM 'fees'`,
    String(merchantId),
  );
  return rows.map(({ currency, version, kind, subject, transaction_id, amount, at, fee }) => ({
    currency: currency as string,
    version: Number(version),
    kind: kind as Posted['kind'],
    transaction: transaction_id as string,
    amount: BigInt(amount as string),
    atMs: Number(at),
    // A payment of one currency has nothing to do with that of another.
    ...(kind !== 'payout' && subject !== null && { payment: `${currency} ${subject}` }),
    ...(typeof fee === 'string' && { fee: BigInt(fee) }),
  }));
}

const settlementsOf = (merchantId: bigint) =>
  byOwner(
    `SELECT business_date::text, currency, gross, refunds, disputes, other, adjustments, fees, net, items FROM settlements
      WHERE merchant_id = $1 ORDER BY business_date, currency`,
    String(merchantId),
  );

const linesOf = (merchantId: bigint) =>
  byOwner(
    `SELECT s.currency, l.account_version AS version, s.business_date::text AS settled_on, l.kind, l.amount, l.fee,
            l.fee_plan_version AS plan_version, l.business_date::text
       FROM settlement_lines l JOIN settlements s ON s.merchant_id = $1 AND s.id = l.settlement_id
      WHERE l.merchant_id = $1 AND l.kind <> 'fees' ORDER BY s.currency, l.account_version`,
    String(merchantId),
  );

async function balanceOf(merchantId: bigint, currency: string): Promise<bigint> {
  const [row] = await byOwner<{ amount: string }>(
    `SELECT b.posted_credits - b.posted_debits AS amount FROM (${PAYABLES}) p
       JOIN balances b ON b.merchant_id = $1 AND b.account_id = p.id WHERE p.currency = $2`,
    String(merchantId),
    currency,
  );
  return BigInt(row?.amount ?? 0);
}

test('nobody finds anything wrong with all that', async () => {
  // Payments and payouts are not there: only what happened to them.
  const ofOthers = 'what is settled of a currency is the sum of its settlements';
  const checks = SETTLEMENT_CHECKS.filter(({ name }) => !name.startsWith(ofOthers));
  expect(checks.length).toBe(SETTLEMENT_CHECKS.length - 1);
  const results = await verify(on.runtimeUrl, [...LEDGER_CHECKS, ...checks]);
  expect(offendersOf(results)).toEqual({});
});
