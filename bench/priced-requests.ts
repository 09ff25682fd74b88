import { randomBytes } from 'node:crypto';
import type { PriceName } from '#limits/prices.js';
import {
  type BenchMerchant,
  balanceAtRequest,
  balanceRequest,
  getRequest,
  postRequest,
  RequestSource,
} from './requests.js';

/** One route at one size, and what it is charged by. */
export interface Priced {
  price: PriceName;
  what: string;
  callers: number;
  next(): string;
}

const DAY_MS = 86_400_000;

/** What prices are held against: each route that has a cost of its own kind, at sizes that are far apart. */
export function pricedRequests(merchant: BenchMerchant, transactionIds: readonly string[]): Priced[] {
  const callers = 8;
  const source = (load: { batch: number; of?: 'facts' | 'payments' }) => {
    const rest = { port: 0, callers, warmUpMs: 0, measureMs: 0, spread: 'uniform', lateMs: 0 } as const;
    const from = new RequestSource([merchant], { ...rest, ...load }, randomBytes(6).toString('hex'));
    return () => from.next();
  };
  const drawn = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)] as T;
  const get = (price: PriceName, path: string | (() => string)): Priced => {
    const of = typeof path === 'string' ? () => path : path;
    return { price, what: `GET ${of().replace(/\d{15,}/, '{id}')}`, callers, next: () => getRequest(merchant, of()) };
  };
  const list = (price: PriceName, path: string): Priced[] =>
    [10, 100, 1_000].map((limit) => get(price, `${path}?limit=${limit}`));
  return [
    { price: 'posting', what: 'POST transactions', callers, next: source({ batch: 1 }) },
    ...[10, 100, 1_000].map((batch): Priced => {
      return { price: 'posting', what: `POST transactions/batch of ${batch}`, callers: 2, next: source({ batch }) };
    }),
    {
      price: 'balance',
      what: 'GET balance, cached',
      callers,
      next: () => balanceRequest(merchant, Math.floor(Math.random() * merchant.accounts.length)),
    },
    get('balance', () => `accounts/${drawn(merchant.accounts)}/balance?consistency=strong`),
    {
      price: 'balance',
      what: 'GET balance, in the past',
      callers,
      next: () => balanceAtRequest(merchant, Date.now() - Math.random() * DAY_MS),
    },
    get('get', () => `transactions/${drawn(transactionIds)}`),
    get('get', () => `accounts/${drawn(merchant.accounts)}`),
    ...list('list', 'transactions'),
    ...list('list', `accounts/${merchant.accounts[0]}/entries`),
    ...list('events', 'events'),
    { price: 'change', what: 'POST accounts', callers, next: () => accountRequest(merchant) },
    { price: 'payment', what: 'POST payments', callers, next: source({ batch: 1, of: 'payments' }) },
    { price: 'payment', what: 'POST provider_events', callers, next: source({ batch: 1, of: 'facts' }) },
    {
      price: 'payment',
      what: 'POST provider_events/batch of 100',
      callers: 2,
      next: source({ batch: 100, of: 'facts' }),
    },
  ];
}

function accountRequest({ apiKey }: BenchMerchant): string {
  const code = `priced:${randomBytes(8).toString('hex')}`;
  const body = JSON.stringify({ code, name: code, currency: 'EUR', normal_side: 'credit' });
  return postRequest({ route: '/v1/accounts', apiKey, body });
}
