import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shownRule } from '#fees/fee-plan.entity.js';
import { type Clock, systemClock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { verify } from '#platform/verify.js';
import { SETTLEMENT_CHECKS } from '#settlement/checks.js';
import { type SettleResult, Settler, type SettlerParts } from '#settlement/settler.js';
import { TimeZones } from '#tenancy/time-zones.js';
import { UpdateMerchantCommand, UpdateMerchantHandler } from '#tenancy/update-merchant.command.js';
import { Bystander } from './support/bystander.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { entitiesOn } from './support/entities.js';
import { RULE, TestSettlement, within } from './support/settlement.js';
import { until } from './support/until.js';
import { offendersOf } from './support/verified.js';

/** What others do at the worst moment of a night. */

const DAY_MS = 86_400_000;
const dateOf = (daysAgo: number): string => new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10);
const midnightOf = (daysAgo: number): number => Date.parse(`${dateOf(daysAgo)}T00:00:00Z`);
const noonOf = (daysAgo: number): number => midnightOf(daysAgo) + DAY_MS / 2;

let on: TestDatabase;
/** Two processes: each has pools, a writer and ids of its own. */
let one: TestSettlement;
let other: TestSettlement;
let bystander: Bystander;

beforeAll(async () => {
  on = await freshDatabase();
  [one, other] = [await TestSettlement.open(on), await TestSettlement.open(on)];
  bystander = await Bystander.open(on);
});
afterAll(async () => {
  await Promise.all([one.close(), other.close(), bystander.close()]);
  await on.drop();
});

const byOwner = <Row extends Record<string, unknown>>(text: string, ...values: unknown[]): Promise<Row[]> =>
  asAdmin(on.ownerUrl, async (owner) => (await owner.query<Row>(text, values)).rows);

const settlementsOf = (merchantId: bigint) =>
  byOwner(
    `SELECT business_date::text AS day, currency, gross, other, adjustments, fees FROM settlements
      WHERE merchant_id = $1 ORDER BY business_date, currency`,
    String(merchantId),
  );

const draftsOf = (merchantId: bigint) =>
  byOwner('SELECT FROM settlement_drafts WHERE merchant_id = $1', String(merchantId));

/** How many statements wait for others. */
async function blocked(): Promise<number> {
  const text = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`;
  // By a connection of its own: within a transaction it would see the same each time.
  return (await byOwner(text)).length;
}

async function expectNothingWrong(): Promise<void> {
  // Payments are not there: only what happened to them.
  expect(offendersOf(await verify(on.runtimeUrl, SETTLEMENT_CHECKS))).toEqual({});
}

type Call = 'transaction' | 'post';

/** Settles as a process does to which something happens whenever it is about to call that. */
function settleWith(
  { parts }: TestSettlement,
  before: Partial<Record<Call, () => Promise<unknown>>>,
  [merchantId, date]: [bigint, string],
  clock?: Clock,
): Promise<SettleResult[]> {
  const heard = <T extends object>(part: T, call: Call): T =>
    new Proxy(part, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        const bound = value.bind(target);
        if (name !== call) return bound;
        return async (...values: unknown[]) => {
          await before[call]?.();
          return bound(...values);
        };
      },
    });
  const told: SettlerParts = {
    ...parts,
    database: heard(parts.database, 'transaction'),
    writer: heard(parts.writer, 'post'),
  };
  return new Settler(told, clock).settle([merchantId], date, within(20_000));
}

test('what is recorded between the making of a day and its end is of the next day, whatever versions fees have', async () => {
  const merchantId = await one.createMerchant({ createdAtMs: noonOf(3) });
  await one.charge(merchantId, [{ ...RULE, fixed: 10n }]);
  const paid = (subject: bigint, amount: bigint) => ({ kind: 'payment', amount, subject, atMs: noonOf(2) }) as const;
  await one.happen(merchantId, paid(1n, 1_000n));
  const late = () => other.happen(merchantId, paid(2n, 500n), paid(3n, 70n));
  const settled = [{ merchantId, outcome: 'settled' }];
  expect(await settleWith(one, { post: late }, [merchantId, dateOf(2)])).toEqual(settled);
  expect(await one.settle([merchantId], dateOf(1))).toEqual(settled);
  expect(await settlementsOf(merchantId)).toEqual([
    { day: dateOf(2), currency: 'EUR', gross: '1000', other: '0', adjustments: '0', fees: '10' },
    { day: dateOf(1), currency: 'EUR', gross: '0', other: '0', adjustments: '570', fees: '20' },
  ]);
  await expectNothingWrong();
});

test('fees that others were faster than are not settled by the day in which they were charged', async () => {
  const merchantId = await one.createMerchant({ createdAtMs: noonOf(2) });
  await one.charge(merchantId, [{ ...RULE, fixed: 10n }]);
  const paid = (subject: bigint, amount: bigint) => ({ kind: 'payment', amount, subject, atMs: noonOf(1) }) as const;
  await one.happen(merchantId, paid(1n, 1_000n));
  const late = () => other.happen(merchantId, paid(2n, 500n));
  const settled = [{ merchantId, outcome: 'settled' }];
  expect(await settleWith(one, { post: late }, [merchantId, dateOf(1)])).toEqual(settled);
  const tomorrow = await TestSettlement.of(one.ledger, {
    clock: { ...systemClock, now: () => Date.now() + DAY_MS },
  });
  expect(await tomorrow.settle([merchantId], dateOf(0))).toEqual(settled);
  expect(await settlementsOf(merchantId)).toEqual([
    { day: dateOf(1), currency: 'EUR', gross: '1000', other: '0', adjustments: '0', fees: '10' },
    { day: dateOf(0), currency: 'EUR', gross: '0', other: '0', adjustments: '500', fees: '10' },
  ]);
  await expectNothingWrong();
});

test('a day that somebody is just closing is not begun again by who has seen it open', async () => {
  const merchantId = await one.createMerchant({ createdAtMs: noonOf(3) });
  await one.happen(merchantId, { kind: 'other', amount: 100n, atMs: noonOf(2) });
  // Who closes the day waits there, with all of it written.
  await byOwner(`
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_advisory_xact_lock_shared(7, 8);
  RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON settlement_positions FOR EACH ROW EXECUTE FUNCTION wait_at_gate();`);
  await bystander.client.query('SELECT pg_advisory_lock(7, 8)');
  const closing = one.settle([merchantId], dateOf(2));
  await until('it is being closed', async () => (await blocked()) === 1);
  const beginning = other.settle([merchantId], dateOf(2));
  await until('somebody waits for who closes it', async () => (await blocked()) === 2);
  await bystander.client.query('SELECT pg_advisory_unlock(7, 8)');
  const settled = [{ merchantId, outcome: 'settled' }];
  expect([await closing, await beginning]).toEqual([settled, settled]);
  await byOwner('DROP TRIGGER gate ON settlement_positions; DROP FUNCTION wait_at_gate');
  expect(await draftsOf(merchantId)).toEqual([]);
  await expectNothingWrong();
});

test('of two days that might be the next one that which was begun first is gone on with', async () => {
  const merchantId = await one.createMerchant({ createdAtMs: noonOf(5), currencies: ['EUR', 'USD'] });
  await one.happen(merchantId, { kind: 'other', amount: 100n, atMs: noonOf(2) });
  const asked: [bigint, string] = [merchantId, dateOf(2)];
  /** Waits before it begins a day, once it has seen which. */
  const seeing = (process: TestSettlement, more: { post?: () => Promise<unknown> } = {}) => {
    const [seen, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const transaction = async () => {
      seen.resolve();
      await go.promise;
    };
    return { seen: seen.promise, go: go.resolve, result: settleWith(process, { transaction, ...more }, asked) };
  };
  const later = seeing(other, { post: () => Promise.reject(new Error('killed')) });
  await later.seen;
  await one.happen(merchantId, { kind: 'other', amount: 5n, atMs: noonOf(3), currency: 'USD' });
  const earlier = seeing(one);
  await earlier.seen;
  later.go();
  expect(await later.result).toMatchObject([{ outcome: 'failed', problem: { detail: 'Error: killed' } }]);
  earlier.go();
  expect(await earlier.result).toEqual([{ merchantId, outcome: 'settled' }]);
  expect(await settlementsOf(merchantId)).toMatchObject([
    { day: dateOf(2), currency: 'EUR', other: '100', adjustments: '0' },
    { day: dateOf(2), currency: 'USD', other: '0', adjustments: '5' },
  ]);
  await expectNothingWrong();
});

describe('a day is begun after a change of what is charged that is under way, and charged by it:', () => {
  const rules = JSON.stringify([shownRule({ ...RULE, fixed: 20n })]);

  test.each([
    [
      'a version of the plan',
      'SELECT FROM fee_plans WHERE id = $2 FOR UPDATE',
      `INSERT INTO fee_plan_versions (plan_id, version, valid_from, refund_returns_fee, rules) VALUES ($2, 2, $3, false, $4)`,
    ],
    [
      'another plan of the merchant',
      'SELECT FROM merchants WHERE id = $1 FOR UPDATE',
      `INSERT INTO fee_plans VALUES ($2 + 1, 'Other', snowflake_time($2 + 1));
       INSERT INTO fee_plan_versions (plan_id, version, valid_from, refund_returns_fee, rules) VALUES ($2 + 1, 1, '-infinity', false, $4);
       INSERT INTO fee_plan_assignments (merchant_id, valid_from, fee_plan_id) VALUES ($1, $3, $2 + 1)`,
    ],
  ])('%s', async (_, lock, change) => {
    const merchantId = await one.createMerchant({ createdAtMs: noonOf(3) });
    const planId = await one.charge(merchantId, [{ ...RULE, fixed: 10n }]);
    await one.happen(merchantId, { kind: 'payment', amount: 1_000n, subject: 1n, atMs: noonOf(2) });
    const values = [merchantId, planId, `'${dateOf(2)}T00:00Z'`, `'${rules}'`].map(String);
    const said = (sql: string) => sql.replaceAll(/\$(\d)/g, (_place, n) => values[n - 1] as string);
    await bystander.client.query(`BEGIN; ${said(lock)}`);
    const settling = one.settle([merchantId], dateOf(2));
    await until('it waits for the change', async () => (await blocked()) > 0);
    expect(await draftsOf(merchantId)).toEqual([]);
    await bystander.client.query(`${said(change)}; COMMIT`);
    expect(await settling).toEqual([{ merchantId, outcome: 'settled' }]);
    expect(await settlementsOf(merchantId)).toMatchObject([{ gross: '1000', fees: '20' }]);
  });
});

test('a merchant who moves while its day is being closed is due when its next day ends where it then is', async () => {
  const merchantId = await one.createMerchant({ createdAtMs: noonOf(-1) });
  await one.happen(merchantId, { kind: 'other', amount: 100n, atMs: noonOf(-1) });
  const { database } = other.ledger;
  const moves = new UpdateMerchantHandler(database, new TimeZones(database), await entitiesOn(database));
  const changes = { name: undefined, timeZone: 'Asia/Tokyo', timeZoneFrom: dateOf(-3) };
  let moved = 0;
  const move = async () => {
    moved += 1;
    if (moved === 1) await moves.execute(new UpdateMerchantCommand(within(20_000), merchantId, changes));
  };
  const inThreeDays = { ...systemClock, now: () => Date.now() + 3 * DAY_MS };
  const outcome = await settleWith(one, { post: move }, [merchantId, dateOf(-1)], inThreeDays);
  expect(outcome).toEqual([{ merchantId, outcome: 'settled' }]);
  const due = await byOwner<{ due_at: Date }>('SELECT due_at FROM due_rows WHERE merchant_id = $1', String(merchantId));
  expect(due.map(({ due_at }) => due_at.toISOString())).toEqual([`${dateOf(-2)}T15:00:00.000Z`]);
  await expectNothingWrong();
});

test('a ledger that is overloaded is asked again, and nobody has failed', async () => {
  const merchantId = await one.createMerchant({ createdAtMs: noonOf(3) });
  await one.happen(merchantId, { kind: 'other', amount: 100n, atMs: noonOf(2) });
  let asked = 0;
  const post = async () => {
    asked += 1;
    if (asked <= 2) throw new ProblemError('overloaded', 'Too many postings are waiting.');
  };
  const outcome = await settleWith(one, { post }, [merchantId, dateOf(2)]);
  expect([outcome, asked]).toEqual([[{ merchantId, outcome: 'settled' }], 3]);
});

test('a day whose fees cannot be posted in one currency is closed in none, and goes on when they can', async () => {
  const merchantId = await one.createMerchant({ createdAtMs: noonOf(3), currencies: ['EUR', 'USD'] });
  const rules = ['EUR', 'USD'].map((currency) => ({ ...RULE, currency, fixed: 10n }));
  await one.charge(merchantId, rules);
  const paid = { kind: 'payment', amount: 1_000n, atMs: noonOf(2) } as const;
  await one.happen(merchantId, { ...paid, subject: 1n }, { ...paid, subject: 2n, currency: 'USD' });
  const setClosed = (closed: boolean) =>
    byOwner(
      `UPDATE balances b SET closed = $2 FROM accounts a
        WHERE a.merchant_id = $1 AND a.code = 'fee_revenue:USD' AND b.merchant_id = $1 AND b.account_id = a.id`,
      merchantId,
      closed,
    );
  await setClosed(true);
  expect(await one.settle([merchantId], dateOf(2))).toMatchObject([
    { merchantId, outcome: 'failed', problem: { code: 'account_closed' } },
  ]);
  expect(await settlementsOf(merchantId)).toEqual([]);
  expect(await draftsOf(merchantId)).toHaveLength(2);
  await setClosed(false);
  expect(await other.settle([merchantId], dateOf(2))).toEqual([{ merchantId, outcome: 'settled' }]);
  expect((await settlementsOf(merchantId)).map(({ currency, fees }) => [currency, fees])).toEqual([
    ['EUR', '10'],
    ['USD', '10'],
  ]);
  await expectNothingWrong();
});

test('merchants of whatever number are settled, each of them', async () => {
  const count = 401;
  const text = `INSERT INTO merchants (id, name, time_zone, settlement_cutoff, currencies, created_at)
                SELECT id, 'Test', 'UTC', '00:00', '{EUR}', snowflake_time(id) FROM generate_series($1::bigint, $1::bigint + $2 - 1) AS id RETURNING id::text`;
  const rows = await byOwner<{ id: string }>(text, String(firstSnowflakeAt(noonOf(3))), count);
  const merchantIds = rows.map(({ id }) => BigInt(id));
  expect(await one.settle(merchantIds, dateOf(2))).toEqual(
    merchantIds.map((merchantId) => ({ merchantId, outcome: 'empty' })),
  );
  const settled = `SELECT count(*)::int AS days FROM settlement_positions WHERE merchant_id = ANY ($1) AND business_date = $2`;
  expect(await byOwner(settled, merchantIds.map(String), dateOf(2))).toEqual([{ days: count }]);
});
