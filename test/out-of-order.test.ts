import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ending, endingOf, PAYMENT_ACCOUNTS, shownOf } from '../apps/provider-simulator/src/ending.js';
import type { Life } from '../apps/provider-simulator/src/life.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { SEED } from './support/seed.js';
import { SimulatedProvider } from './support/simulated-provider.js';
import { until } from './support/until.js';

/** A provider over HTTP that tells what is true late, twice and shuffled, by signed webhooks, and what the ledger makes of it. */

const LIVES = 40;
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const API_KEY = 'the-key-of-the-account';
const refs = Array.from({ length: LIVES }, (_, n) => `order-${n}`);

let api: TestApi;
let other: TestApi;
let provider: SimulatedProvider;

beforeAll(async () => {
  // No worker is here to go on with what took too long.
  const environment = { PROVIDER_APPLY_MS: '9000' };
  api = await TestApi.start({ environment });
  other = await TestApi.start({ on: api.on, environment });
  const rates = { perSecond: 2_000, lateMs: 500, lateShare: 0.2, echoes: 0.3 };
  provider = await SimulatedProvider.start({ seed: String(SEED), rates });
});
afterAll(async () => {
  provider.stop();
  await other.stop();
  await api.stop();
});

/** A merchant whose provider sends its webhooks to this process. */
async function openShop(to: TestApi): Promise<Merchant> {
  const merchant = await to.merchant('EUR');
  const secret = { body: { webhook_secret: SECRET } };
  expect((await merchant.client.request('PUT', '/v1/providers/simulator', secret)).status).toBe(200);
  await sendTo(to, merchant);
  return merchant;
}

async function sendTo(to: TestApi, { id }: Merchant): Promise<void> {
  const url = `${to.url}/v1/providers/simulator/merchants/${id}/webhook`;
  const since = new Date(Date.UTC(2026, 10, 20)).toISOString();
  const body = { url, secret: SECRET, api_key: `${API_KEY}-${id}`, currency: 'EUR', since };
  expect((await provider.setUp.request('PUT', `/accounts/${id}`, { body })).status).toBe(200);
}

function hold({ id }: Merchant, body: object) {
  return provider.setUp.post(`/accounts/${id}/payments`, { body });
}

/** What it came to: the same number of parcels taken, and none given up. */
async function untilTold({ id }: Merchant): Promise<void> {
  const { body } = await until('all is told', async () => {
    const answer = await provider.setUp.get(`/accounts/${id}`);
    return answer.body.waiting === 0 && answer;
  });
  expect(body).toMatchObject({ failed: 0, givenUp: 0 });
}

async function lifeOf({ id }: Merchant, ref: string): Promise<Life> {
  const { body } = await provider.withKey(`${API_KEY}-${id}`).get(`/payments/${ref}`);
  return { ref, currency: 'EUR', plot: 'sale', facts: body.events };
}

async function paymentOf({ client }: Merchant, ref: string): Promise<Json> {
  const { body } = await client.get(`/v1/payments?provider=simulator&provider_ref=${ref}`);
  expect(body.data.length).toBe(1);
  return (await client.get(`/v1/payments/${body.data[0].id}`)).body;
}

async function balancesOf(merchant: Merchant): Promise<Record<string, number[]>> {
  const balances = PAYMENT_ACCOUNTS.map(async (name) => {
    const balance = await merchant.balanceOf(merchant.accounts[`${name}:EUR`] ?? '', '?consistency=strong');
    const sums = [balance.posted, balance.pending].map(({ debits, credits }) => Number(debits) - Number(credits));
    return [name, sums] as const;
  });
  return Object.fromEntries(await Promise.all(balances));
}

function sumOf(endings: readonly Ending[]): Record<string, number[]> {
  const sum = (of: (ending: Ending) => number) => endings.reduce((total, ending) => total + of(ending), 0);
  return Object.fromEntries(
    PAYMENT_ACCOUNTS.map((name) => [
      name,
      [sum(({ posted }) => posted[name]), sum(({ pending }) => pending[name] ?? 0)],
    ]),
  );
}

describe('what a provider tells out of order', () => {
  test('ends where its stories end, payment by payment and account by account, through two processes', async () => {
    const merchant = await openShop(api);
    await hold(merchant, { refs });
    // Some of it, and all that is late, comes to the other process.
    await until(
      'some of it is told',
      async () => (await provider.setUp.get(`/accounts/${merchant.id}`)).body.told > LIVES,
    );
    await sendTo(other, merchant);
    await untilTold(merchant);
    const lives = await Promise.all(refs.map((ref) => lifeOf(merchant, ref)));
    for (const life of lives) {
      // Nobody but the provider knew of these: what was only refused is no payment.
      const payment = await paymentOf(merchant, life.ref);
      const { shown } = endingOf(life);
      expect({ ...shownOf(payment), findings: payment.findings }, JSON.stringify(life)).toEqual({
        ...shown,
        findings: [],
      });
      const placed = new Map<string, string>(payment.timeline.map((told: Json) => [told.event_id, told.outcome]));
      for (const { event_id } of life.facts) expect(['applied', 'stale']).toContain(placed.get(event_id));
    }
    expect(await balancesOf(merchant)).toEqual(sumOf(lives.map(endingOf)));
  });

  test('is shown as it came: backwards, what waited was posted with its cause', async () => {
    const merchant = await openShop(api);
    await hold(merchant, { refs: ['order-1'], plot: 'purchase', tell: 'backwards' });
    await untilTold(merchant);
    const { facts } = await lifeOf(merchant, 'order-1');
    const { timeline, transactions } = await paymentOf(merchant, 'order-1');
    const first = (type: string) => timeline.find((told: Json) => told.type === type && told.outcome === 'applied');
    expect(facts.length).toBeGreaterThan(1);
    expect(first('captured').received_at <= first('authorised').received_at).toBe(true);
    expect(first('authorised').transaction_id).toBe(transactions[0]);
    expect(transactions.length, 'all of it waited for the authorisation').toBe(1);
    const waited = timeline.filter((told: Json) => told.outcome === 'applied');
    expect(new Set(waited.map((told: Json) => told.transaction_id))).toEqual(new Set(transactions));
  });
});

describe('a contradiction of a provider’s', () => {
  let merchant: Merchant;
  beforeAll(async () => {
    merchant = await openShop(api);
  });

  test.each([
    ['other_content', 'contradictory_event'],
    ['other_currency', 'currency_mismatch'],
    ['voided', 'captured_after_void'],
    ['captured_beyond', 'overcaptured'],
    ['settled_again', 'settled_beyond_captured'],
  ])('%s is a finding on its payment: %s', async (kind, finding) => {
    const ref = `against-${kind}`;
    await hold(merchant, { refs: [ref], plot: 'purchase' });
    await untilTold(merchant);
    expect((await paymentOf(merchant, ref)).findings).toEqual([]);
    await provider.setUp.post(`/accounts/${merchant.id}/payments/${ref}/contradict`, { body: { kind } });
    await untilTold(merchant);
    const { findings } = await paymentOf(merchant, ref);
    expect(findings.map((found: Json) => found.kind)).toEqual([finding]);
    expect(api.errors).toEqual([]);
  });
});
