import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Json } from '../payments/client.js';
import { tellOf } from '../payments/teller.js';
import { until } from '../support/until.js';
import type { Shop } from './open-shops.js';
import type { PayoutAsked } from './quarter.js';

/** Where a payout ends, by where it goes: the bank's own words. */
export const ENDS: Readonly<Record<string, string>> = {
  bank_ok: 'paid',
  bank_refused: 'failed',
  bank_returned: 'returned',
  bank_slow: 'paid',
  bank_silent: 'paid',
  bank_lost: 'paid',
  bank_twice: 'paid',
  bank_contradicts: 'paid',
  nobody: 'failed',
};

/** What was asked for and accepted. */
export interface PayoutSeen {
  readonly shop: Shop;
  readonly id: string;
  readonly amount: bigint;
  readonly currency: string;
  readonly destination: string;
}

const OVER_LIMIT_MS = 60_000;
/** Between two looks. */
const LOOK_MS = 20;
const PAGE = 200;

/** Whoever pays the shops out, and knows what they still have. */
export class Payouts {
  readonly accepted: PayoutSeen[] = [];
  refused = 0;
  readonly #client: Client;
  readonly #offences: string[];

  constructor(client: Client, offences: string[]) {
    this.#client = client;
    this.#offences = offences;
  }

  /** Asks, or waits for what is paid by itself; until all has come to its end, so that the next one knows what is left. */
  async afterNight(shop: Shop, asked: PayoutAsked | undefined): Promise<void> {
    if (shop.plan.daily !== undefined) await this.#untilPaidDaily(shop);
    if (!asked) return;
    const left = await this.left(shop, asked.currency);
    const { share, currency, destination } = asked;
    const amount = share === undefined ? left : (left * BigInt(share)) / 100n || 1n;
    const body = { currency, destination, ...(share !== undefined && { amount: String(amount < 0n ? 1n : amount) }) };
    const answer = await this.#client.post('/v1/payouts', shop.key, body, true);
    if (left <= 0n || amount > left) {
      this.refused += 1;
      if (answer.body.code !== 'insufficient_funds')
        this.#offences.push(`${amount} of ${left} was paid out: ${tellOf(answer)}`);
      return;
    }
    if (answer.status !== 202 || BigInt(answer.body.amount) !== amount)
      this.#offences.push(`a payout of ${amount} of ${left}: ${tellOf(answer)}`);
    if (answer.status !== 202) return;
    this.accepted.push({ shop, id: answer.body.id, amount, currency, destination });
    await this.#untilAtItsEnd(shop, answer.body.id, destination);
  }

  async untilOver(shops: readonly Shop[]): Promise<void> {
    for (const { shop, id, destination } of this.accepted) await this.#untilAtItsEnd(shop, id, destination);
    for (const shop of shops) if (shop.plan.daily !== undefined) await this.#untilPaidDaily(shop);
  }

  /** The least that there is, until the bank has said what is said of it. */
  async payOne(shop: Shop, currency: string, destination: string, end: string): Promise<void> {
    const body = { currency, destination, amount: '1' };
    const answer = await this.#client.post('/v1/payouts', shop.key, body, true);
    if (answer.status !== 202) throw new Error(tellOf(answer));
    await this.#untilItIs(shop, answer.body.id, { destination, end });
  }

  async all(shop: Shop): Promise<Json[]> {
    return listOf(this.#client, '/v1/payouts?', shop.key);
  }

  #untilAtItsEnd(shop: Shop, id: string, destination: string): Promise<void> {
    return this.#untilItIs(shop, id, { destination, end: ENDS[destination] });
  }

  async #untilItIs(
    { key, plan }: Shop,
    id: string,
    { destination, end }: { destination: string; end: string | undefined },
  ): Promise<void> {
    let last: Json;
    await until(
      `payout ${id} of ${plan.name} to ${destination}`,
      async () => {
        await sleep(LOOK_MS);
        last = (await this.#client.get(`/v1/payouts/${id}`, key)).body;
        return last.status === end;
      },
      OVER_LIMIT_MS,
    ).catch((error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(last)}`);
    });
  }

  /** All that was settled, of each currency. */
  async #untilPaidDaily(shop: Shop): Promise<void> {
    for (const currency of shop.plan.currencies)
      await until(
        `${shop.plan.name} is paid out in ${currency}`,
        async () => {
          await sleep(LOOK_MS);
          const all = await this.all(shop);
          return all.every(({ status }) => status === 'paid') && (await this.left(shop, currency, all)) <= 0n;
        },
        OVER_LIMIT_MS,
      );
  }

  async left(shop: Shop, currency: string, payouts?: Json[]): Promise<bigint> {
    const settlements = await listOf(this.#client, `/v1/settlements?currency=${currency}&`, shop.key);
    const settled = settlements.reduce((sum, { net }) => sum + BigInt(net), 0n);
    const out = (payouts ?? (await this.all(shop))).filter(
      (payout) => payout.currency === currency && !['failed', 'returned'].includes(payout.status),
    );
    return out.reduce((sum, { amount }) => sum - BigInt(amount), settled);
  }
}

/** All pages. `path` ends where a query goes on. */
export async function listOf(client: Client, path: string, key: string): Promise<Json[]> {
  const all: Json[] = [];
  for (let cursor = ''; ; ) {
    const answer = await client.get(`${path}limit=${PAGE}${cursor}`, key);
    if (answer.status !== 200) throw new Error(`${path}: ${tellOf(answer)}`);
    all.push(...answer.body.data);
    if (!answer.body.has_more) return all;
    cursor = `&cursor=${encodeURIComponent(answer.body.next_cursor)}`;
  }
}
