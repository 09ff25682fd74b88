import { type Answer, type Json, type Merchant, type TestApi, transfer } from './api.js';
import type { Bystander } from './bystander.js';
import { until } from './until.js';

const DAY_MS = 86_400_000;
/** Runs of tests are short; machines may be busy. */
const LIMIT_MS = 60_000;

/** A calendar day, so many days ago, as merchants in UTC whose days end at midnight have it. */
export function daysAgo(days: number): string {
  return new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);
}

/** In the middle of that day. */
export function noonOf(date: string): string {
  return `${date}T12:00:00.000Z`;
}

/** Owes a merchant money since a day, posted by hand. */
export async function owe(shop: Merchant, amount: string, date: string): Promise<Json> {
  return shop.posted(transfer('cash:EUR', 'merchant_payable:EUR', amount, { effective_at: noonOf(date) }));
}

export function startRun(api: TestApi, businessDate: string, merchants?: readonly Merchant[]): Promise<Answer> {
  const ids = merchants && { merchant_ids: merchants.map(({ id }) => id) };
  return api.operator.post('/v1/settlement_runs', { body: { business_date: businessDate, ...ids } });
}

export async function finished(api: TestApi, id: string): Promise<Json> {
  return until(
    `run ${id} is over`,
    async () => {
      const { status, body } = await api.operator.get(`/v1/settlement_runs/${id}`);
      return status === 200 && body.finished_at !== null && body;
    },
    LIMIT_MS,
  );
}

export async function settle(api: TestApi, businessDate: string, merchants?: readonly Merchant[]): Promise<Json> {
  return finished(api, (await startRun(api, businessDate, merchants)).body.id);
}

export async function settlementsOf(shop: Merchant, query = ''): Promise<Json[]> {
  return (await shop.client.get(`/v1/settlements${query}`)).body.data;
}

/** Whoever settles the merchant's day waits until `bystander.release()`. Resolves once somebody does. */
export async function holdUp(bystander: Bystander, { id }: Merchant, begin: () => Promise<unknown>): Promise<void> {
  await bystander.client.query('BEGIN');
  await bystander.client.query('SELECT lock_merchants($1)', [[id]]);
  await begin();
  await until('somebody waits for the merchant', async () => {
    const { waiting } = await bystander.one<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE NOT l.granted AND a.datname = current_database()`,
    );
    return waiting > 0;
  });
}
