import { afterAll, beforeAll, expect, test } from 'vitest';
import { LEDGER_CHECKS } from '#ledger/verify/checks.js';
import { verify } from '#platform/verify.js';
import { SETTLEMENT_CHECKS } from '#settlement/checks.js';
import { type SettleResult, Settler, type SettlerParts } from '#settlement/settler.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { RULE, TestSettlement, within } from './support/settlement.js';
import { until } from './support/until.js';
import { offendersOf } from './support/verified.js';

const DAY_MS = 86_400_000;
const CHUNK_ENTRIES = 3;
const dateOf = (daysAgo: number): string => new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10);
const noonOf = (daysAgo: number): number => Date.parse(`${dateOf(daysAgo)}T12:00:00Z`);

let on: TestDatabase;
/** Two processes: each has pools, a writer and ids of its own. */
let one: TestSettlement;
let other: TestSettlement;

beforeAll(async () => {
  on = await freshDatabase();
  [one, other] = await Promise.all(
    [1, 2].map(() => TestSettlement.open(on, { chunkEntries: CHUNK_ENTRIES })) as [
      Promise<TestSettlement>,
      Promise<TestSettlement>,
    ],
  );
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await on.drop();
});

const byOwner = <Row extends Record<string, unknown>>(text: string, ...values: unknown[]): Promise<Row[]> =>
  asAdmin(on.ownerUrl, async (owner) => (await owner.query<Row>(text, values)).rows);

type Step = (name: string, run: () => Promise<unknown>) => Promise<unknown>;

/** Whatever it asks of PostgreSQL, itself or by the writer, goes through `step`. */
function settlerOf({ parts }: TestSettlement, step: Step): Settler {
  const stepped = <T extends object>(target: T, names: readonly string[]): T =>
    new Proxy(target, {
      get: (_, name) => {
        const value = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        const bound = value.bind(target);
        if (!names.includes(String(name))) return bound;
        return (...values: unknown[]) => step(String(name), () => bound(...values));
      },
    });
  const database = stepped(parts.database, ['read', 'write', 'transaction']);
  return new Settler({ ...parts, database, writer: stepped(parts.writer, ['post']) } satisfies SettlerParts);
}

class Stopped extends Error {}

/** Of a process that stops there: before a step is done, or when it was done and nobody has heard of it. */
function stoppingAt(place: number, when: 'before' | 'after'): { step: Step; stopped: () => boolean } {
  let steps = 0;
  let stopped = false;
  const step: Step = async (_name, run) => {
    steps += 1;
    if (stopped) throw new Stopped();
    if (steps < place) return run();
    stopped = true;
    if (when === 'after') await run();
    throw new Stopped();
  };
  return { step, stopped: () => stopped };
}

const NIGHT = 2;
const ENTRIES = 7;

/** Several chunks, fees, and an account that has something left for the next day. */
async function shop(): Promise<bigint> {
  const merchantId = await one.createMerchant({ createdAtMs: noonOf(NIGHT), currencies: ['EUR', 'USD'] });
  await one.charge(merchantId, [{ ...RULE, appliesTo: 'dispute', fixed: 7n }]);
  const payments = Array.from({ length: ENTRIES }, (_, index) => BigInt(index + 1));
  await one.happen(
    merchantId,
    ...payments.map((subject) => ({ kind: 'other' as const, amount: subject * 100n, atMs: noonOf(NIGHT) })),
    { kind: 'other', amount: 5n, atMs: noonOf(NIGHT - 1) },
    { kind: 'other', amount: -30n, atMs: noonOf(NIGHT), currency: 'USD' },
    { kind: 'dispute', amount: -100n, atMs: noonOf(NIGHT), subject: 1n },
  );
  return merchantId;
}

/** All that is left of a night, but for ids and times. */
async function leftOf(merchantId: bigint): Promise<unknown> {
  const [row] = await byOwner(
    `SELECT (SELECT json_agg(json_build_array(business_date, currency, gross, other, adjustments, fees, net, items) ORDER BY currency)
               FROM settlements WHERE merchant_id = $1) AS settlements,
            (SELECT json_agg(json_build_array(account_version, kind, amount, fee) ORDER BY kind, amount, account_version)
               FROM settlement_lines WHERE merchant_id = $1) AS lines,
            (SELECT json_agg(json_build_array(currency, settled) ORDER BY currency) FROM settled_balances WHERE merchant_id = $1) AS settled,
            (SELECT count(*) FROM settlement_drafts WHERE merchant_id = $1) AS drafts,
            (SELECT count(*) FROM transactions WHERE merchant_id = $1 AND type = 'settlement.fees') AS fees,
            (SELECT count(*) FROM events WHERE merchant_id = $1 AND type = 'settlement.posted') AS events,
            (SELECT business_date::text FROM settlement_positions WHERE merchant_id = $1) AS position`,
    String(merchantId),
  );
  return row;
}

async function undisturbed(): Promise<unknown> {
  const merchantId = await shop();
  expect(await one.settle([merchantId], dateOf(NIGHT))).toEqual([{ merchantId, outcome: 'settled' }]);
  const left = await leftOf(merchantId);
  expect(left).toMatchObject({ drafts: '0', fees: '1', events: '2', position: dateOf(NIGHT) });
  return left;
}

const settledBy = (settler: Settler, merchantIds: readonly bigint[]): Promise<SettleResult[]> =>
  settler.settle(merchantIds, dateOf(NIGHT), within(60_000));

test.each(['before', 'after'] as const)(
  'a process that stops %s any of its steps leaves a night that another one ends, to the same',
  async (when) => {
    const expected = await undisturbed();
    for (let place = 1; ; place += 1) {
      const merchantId = await shop();
      const { step, stopped } = stoppingAt(place, when);
      const first = settledBy(settlerOf(one, step), [merchantId]);
      await first.catch(() => undefined);
      if (!stopped()) {
        // It has steps enough for two chunks and more.
        expect(place).toBeGreaterThan(8);
        return;
      }
      expect(await other.settle([merchantId], dateOf(NIGHT))).toEqual([{ merchantId, outcome: 'settled' }]);
      expect({ place, left: await leftOf(merchantId) }).toEqual({ place, left: expected });
    }
  },
  120_000,
);

test('a process that is paused at any of its steps while another one ends the night changes nothing more', async () => {
  const expected = await undisturbed();
  for (let place = 1; ; place += 1) {
    const merchantId = await shop();
    let steps = 0;
    const paused = Promise.withResolvers<void>();
    const resumed = Promise.withResolvers<void>();
    const settler = settlerOf(one, async (_name, run) => {
      steps += 1;
      if (steps === place) {
        paused.resolve();
        await resumed.promise;
      }
      return run();
    });
    const first = settledBy(settler, [merchantId]);
    const reached = await Promise.race([paused.promise.then(() => true), first.then(() => false)]);
    if (!reached) {
      expect(place).toBeGreaterThan(8);
      return;
    }
    // Nothing of it holds back the log's horizon meanwhile; what ended a moment ago may still be seen.
    const held = `SELECT FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name IN ('test', 'counterfoil-writer') AND backend_xid IS NOT NULL`;
    await until('nobody holds back the horizon', async () => (await byOwner(held)).length === 0);
    expect(await other.settle([merchantId], dateOf(NIGHT))).toEqual([{ merchantId, outcome: 'settled' }]);
    expect({ place, left: await leftOf(merchantId) }).toEqual({ place, left: expected });
    expect(await other.settle([merchantId], dateOf(NIGHT - 1))).toEqual([{ merchantId, outcome: 'settled' }]);
    const left = await leftOf(merchantId);
    resumed.resolve();
    expect(await first).toEqual([{ merchantId, outcome: 'settled' }]);
    expect({ place, left: await leftOf(merchantId) }).toEqual({ place, left });
  }
}, 120_000);

test('what is recorded while a day is drafted is of a later day, and fees are settled by their own settlement alone', async () => {
  const expected = await undisturbed();
  const merchantId = await shop();
  const drafted = settlerOf(one, async (name, run) => {
    if (name === 'post') await one.happen(merchantId, { kind: 'other', amount: 11n, atMs: noonOf(NIGHT) });
    return run();
  });
  expect(await settledBy(drafted, [merchantId])).toEqual([{ merchantId, outcome: 'settled' }]);
  expect(await leftOf(merchantId)).toMatchObject({ settlements: (expected as { settlements: unknown }).settlements });
  await other.settle([merchantId], dateOf(NIGHT - 1));
  const next = `SELECT other, adjustments, fees, net, items FROM settlements WHERE merchant_id = $1 AND business_date = $2`;
  const amounts = { other: '5', adjustments: '11', fees: '0', net: '16', items: '2' };
  expect(await byOwner(next, String(merchantId), dateOf(NIGHT - 1))).toEqual([amounts]);
});

test('no day is begun while another process holds the merchant, such as to close it', async () => {
  const merchantId = await shop();
  const settled = await asAdmin(on.ownerUrl, async (owner) => {
    await owner.query('BEGIN');
    await owner.query('SELECT lock_merchants($1)', [[String(merchantId)]]);
    const first = one.settle([merchantId], dateOf(NIGHT));
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`;
    await until('it waits', async () => (await byOwner(waiting)).length > 0);
    expect(await leftOf(merchantId)).toMatchObject({ drafts: '0', lines: null });
    await owner.query('ROLLBACK');
    return first;
  });
  expect(settled).toEqual([{ merchantId, outcome: 'settled' }]);
});

test('two processes that settle the same merchants at once settle each of them once', async () => {
  const expected = await undisturbed();
  const merchantIds = await Promise.all(Array.from({ length: 12 }, shop));
  const settled = merchantIds.map((merchantId) => ({ merchantId, outcome: 'settled' }));
  const results = await Promise.all(
    [one, other, one].map((process, index) =>
      process.settle(index === 1 ? merchantIds.toReversed() : merchantIds, dateOf(NIGHT)),
    ),
  );
  for (const result of results) expect(result.toSorted(byMerchant)).toEqual(settled.toSorted(byMerchant));
  for (const merchantId of merchantIds) expect(await leftOf(merchantId)).toEqual(expected);
}, 60_000);

function byMerchant(a: { merchantId: bigint }, b: { merchantId: bigint }): number {
  return a.merchantId < b.merchantId ? -1 : 1;
}

/** Whoever writes lines of the merchant waits there, with its transaction open. */
const GATE = `
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_advisory_xact_lock_shared(7, 7);
  RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON settlement_lines FOR EACH ROW EXECUTE FUNCTION wait_at_gate();`;

test('a connection that is cut within a chunk leaves nothing of the chunk, and the night goes on', async () => {
  const expected = await undisturbed();
  const merchantId = await shop();
  await byOwner(GATE);
  const cut = await asAdmin(on.ownerUrl, async (owner) => {
    await owner.query('SELECT pg_advisory_lock(7, 7)');
    const first = one.settle([merchantId], dateOf(NIGHT)).then(
      () => 'settled',
      (error: { code?: string }) => error.code,
    );
    const waiting = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`;
    const [backend] = await until('it writes lines', async () => {
      const { rows } = await owner.query<{ pid: number }>(waiting);
      return rows.length > 0 ? rows : undefined;
    });
    // Another process leaves alone what this one is at work on, and waits for it.
    const second = other.settle([merchantId], dateOf(NIGHT), 300).catch((error: { code?: string }) => error.code);
    expect(await second).toBe('deadline_exceeded');
    await owner.query('SELECT pg_terminate_backend($1)', [backend?.pid]);
    await owner.query('SELECT pg_advisory_unlock(7, 7)');
    return first;
  });
  expect(cut).toBe('database_unavailable');
  await byOwner('DROP TRIGGER gate ON settlement_lines; DROP FUNCTION wait_at_gate');
  expect(await other.settle([merchantId], dateOf(NIGHT))).toEqual([{ merchantId, outcome: 'settled' }]);
  expect(await leftOf(merchantId)).toEqual(expected);
}, 60_000);

test('one merchant who cannot be settled fails alone', async () => {
  const expected = await undisturbed();
  const merchantIds = await Promise.all(Array.from({ length: 3 }, shop));
  const [bad, ...good] = merchantIds as [bigint, ...bigint[]];
  await byOwner(`
CREATE FUNCTION refuse_lines() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.merchant_id = ${bad} THEN RAISE 'not this one'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON settlement_lines FOR EACH ROW EXECUTE FUNCTION refuse_lines();`);
  const results = await one.settle([...merchantIds, 1n], dateOf(NIGHT));
  await byOwner('DROP TRIGGER refuse ON settlement_lines; DROP FUNCTION refuse_lines');
  expect(new Map(results.map((result) => [result.merchantId, result.outcome]))).toEqual(
    new Map([...good.map((id) => [id, 'settled'] as const), [bad, 'failed'], [1n, 'failed']]),
  );
  expect(results.find(({ merchantId }) => merchantId === bad)?.problem).toMatchObject({ code: 'internal' });
  expect(results.find(({ merchantId }) => merchantId === 1n)?.problem).toMatchObject({ code: 'not_found' });
  expect(await other.settle([bad], dateOf(NIGHT))).toEqual([{ merchantId: bad, outcome: 'settled' }]);
  for (const merchantId of merchantIds) expect(await leftOf(merchantId)).toEqual(expected);
}, 60_000);

test('nobody finds anything wrong with all that', async () => {
  // There are no payments: only what happened to them.
  const results = await verify(on.runtimeUrl, [...LEDGER_CHECKS, ...SETTLEMENT_CHECKS]);
  expect(offendersOf(results)).toEqual({});
});
