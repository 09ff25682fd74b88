import { randomUUID } from 'node:crypto';
import type { Client } from '../payments/client.js';
import type { Shop } from '../payments/teller.js';
import type { Account, Tenant } from './clients.js';
import { OPERATOR_KEY } from './world.js';

const TENANTS = 3;
const HOT = 2;
const COLD = 6;
/** Of the cold ones. */
const FLOORED = 2;
const SHOPS = 2;
const FEES = { applies_to: 'payment', currency: 'EUR', percent_bps: 290, fixed: '25' };

// biome-ignore lint/suspicious/noExplicitAny: bodies are looked into at will.
type Json = any;
export type Post = (path: string, key: string, body: object) => Promise<Json>;

/** What must be answered with success, while nothing is amiss. */
export function poster(client: Client): Post {
  return async (path, key, body) => {
    const answer = await client.post(path, key, body, true);
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
}

/** Those for whom clients post, and whose days are settled. */
export function openTenants(post: Post, plan: string): Promise<Tenant[]> {
  return Promise.all(Array.from({ length: TENANTS }, (_, number) => openTenant(post, plan, number + 1)));
}

export async function openPlan(post: Post): Promise<string> {
  return (await post('/v1/fee_plans', OPERATOR_KEY, { name: `Nights ${randomUUID()}`, rules: [FEES] })).id;
}

/** Its secret is told once: where that answer was lost, a replay has null in its place, and the merchant gets another key. */
async function keyOf(post: Post, { id, api_key }: Json): Promise<string> {
  let { secret } = api_key;
  while (secret === null) ({ secret } = await post(`/v1/merchants/${id}/api_keys`, OPERATOR_KEY, {}));
  return secret;
}

export async function openTenant(post: Post, plan: string, number: number): Promise<Tenant> {
  const merchant = { name: `Tenant ${number}`, time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  const opened = await post('/v1/merchants', OPERATOR_KEY, { ...merchant, fee_plan_id: plan });
  const key = await keyOf(post, opened);
  const accounts: Account[] = await Promise.all(
    Array.from({ length: HOT + COLD }, async (_, count) => {
      const code = `wallet:${count}`;
      const floor = count >= HOT + COLD - FLOORED && { min_available: '0' };
      const account = { code, name: code, currency: 'EUR', normal_side: 'credit', ...floor };
      return { id: (await post('/v1/accounts', key, account)).id, code };
    }),
  );
  const named = (code: string): Account[] => opened.accounts.filter((account: Account) => account.code === code);
  return {
    merchant: opened.id,
    key,
    hot: [...accounts.slice(0, HOT), ...named('merchant_payable:EUR')],
    cold: accounts.slice(HOT),
    watched: [...named('fee_revenue:EUR'), ...named('payout_clearing:EUR')],
    floored: new Set(accounts.slice(-FLOORED).map(({ id }) => id)),
  };
}

/** Those whose payments are told in any order. */
export async function openShops(post: Post): Promise<Shop[]> {
  const shops: Shop[] = [];
  for (let number = 1; number <= SHOPS; number += 1) {
    const shop = { name: `Shop ${number}`, time_zone: 'UTC', settlement_cutoff: '00:00' };
    const opened = await post('/v1/merchants', OPERATOR_KEY, { ...shop, currencies: ['EUR', 'USD', 'JPY'] });
    const accounts = new Map<string, string>(opened.accounts.map(({ code, id }: Account) => [code, id]));
    shops.push({ merchantId: opened.id, key: await keyOf(post, opened), accounts });
  }
  return shops;
}
