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
  /** Of one that is refused by what it asks. */
  answered?: number;
}

/** Whose requests they are. */
export interface PricedBook {
  merchant: BenchMerchant;
  /** Has a webhook endpoint. */
  hooked: BenchMerchant;
  transactionIds: readonly string[];
}

const DAY_MS = 86_400_000;
/** Under load: commit groups, reads of sockets and looks at the log are shared by those who come at the same time. */
const MANY = 64;
const SEVERAL = 8;
/** Of what is large. */
const FEW = 4;

/** What prices are held against: each route that has a cost of its own kind, at sizes that are far apart. */
export function pricedRequests(book: PricedBook): Priced[] {
  const { merchant, hooked, transactionIds } = book;
  const account = () => drawn(merchant.accounts);
  return [
    { price: 'posting', what: 'POST transactions', callers: MANY, next: postings(merchant, 1) },
    { price: 'posting', what: 'POST transactions, 8 callers', callers: SEVERAL, next: postings(merchant, 1) },
    { price: 'posting', what: 'POST transactions, and a webhook', callers: MANY, next: postings(hooked, 1) },
    ...[10, 100, 1_000].map((batch): Priced => {
      const callers = batch === 10 ? SEVERAL : FEW;
      return {
        price: 'posting',
        what: `POST transactions/batch of ${batch}`,
        callers,
        next: postings(merchant, batch),
      };
    }),
    { price: 'posting', what: 'POST transactions, refused', callers: MANY, next: refused(merchant), answered: 422 },
    { price: 'balance', what: 'GET balance, cached', callers: MANY, next: cachedBalance(merchant) },
    get(merchant, 'balance', () => `accounts/${account()}/balance?consistency=strong`),
    { price: 'balance', what: 'GET balance, in the past', callers: MANY, next: () => pastBalance(merchant) },
    get(merchant, 'get', () => `transactions/${drawn(transactionIds)}`),
    get(merchant, 'get', () => `accounts/${account()}`),
    ...list(merchant, 'list', 'transactions'),
    // None fits: it looks at as many as it may.
    get(merchant, 'list', 'transactions?type=nothing&limit=100', FEW),
    ...list(merchant, 'list', `accounts/${merchant.accounts[0]}/entries`),
    ...list(merchant, 'events', 'events'),
    { price: 'change', what: 'POST accounts', callers: MANY, next: () => accountRequest(merchant) },
    { price: 'payment', what: 'POST payments', callers: MANY, next: payments(merchant, 'payments', 1) },
    { price: 'payment', what: 'POST provider_events', callers: MANY, next: payments(merchant, 'facts', 1) },
    ...[10, 100].map((batch): Priced => {
      const callers = batch === 10 ? SEVERAL : FEW;
      const next = payments(merchant, 'facts', batch);
      return { price: 'payment', what: `POST provider_events/batch of ${batch}`, callers, next };
    }),
    { price: 'payout', what: 'POST payouts', callers: SEVERAL, next: () => payoutRequest(merchant) },
    { ...get(merchant, 'open', 'nowhere'), answered: 404 },
  ];
}

function drawn<T>(items: readonly T[]): T {
  return items[Math.floor(Math.random() * items.length)] as T;
}

function source(merchant: BenchMerchant, load: { batch: number; of?: 'facts' | 'payments' }): () => string {
  const rest = { port: 0, callers: 0, warmUpMs: 0, measureMs: 0, spread: 'uniform', lateMs: 0 } as const;
  const from = new RequestSource([merchant], { ...rest, ...load }, randomBytes(6).toString('hex'));
  return () => from.next();
}

const postings = (merchant: BenchMerchant, batch: number) => source(merchant, { batch });
const payments = (merchant: BenchMerchant, of: 'facts' | 'payments', batch: number) => source(merchant, { batch, of });

function get(merchant: BenchMerchant, price: PriceName, path: string | (() => string), callers = MANY): Priced {
  const of = typeof path === 'string' ? () => path : path;
  return { price, what: `GET ${of().replace(/\d{15,}/, '{id}')}`, callers, next: () => getRequest(merchant, of()) };
}

function list(merchant: BenchMerchant, price: PriceName, path: string): Priced[] {
  return [10, 100, 1_000].map((limit) =>
    get(merchant, price, `${path}?limit=${limit}`, limit > 100 ? FEW : limit > 10 ? SEVERAL : MANY),
  );
}

const cachedBalance = (merchant: BenchMerchant) => () =>
  balanceRequest(merchant, Math.floor(Math.random() * merchant.accounts.length));

function pastBalance(merchant: BenchMerchant): string {
  return balanceAtRequest(merchant, Date.now() - Math.random() * DAY_MS);
}

/** Its fields are wrong: nobody but the API looks at it. */
function refused({ apiKey }: BenchMerchant): () => string {
  const body = '{"type":"payment","entries":[{"account_code":"wallet:alice","direction":"debit","amount":"1.5"}]}';
  return () => postRequest({ route: '/v1/transactions', apiKey, body, idempotencyKey: newKey() });
}

function accountRequest({ apiKey }: BenchMerchant): string {
  const code = `priced:${newKey()}`;
  const body = JSON.stringify({ code, name: code, currency: 'EUR', normal_side: 'credit' });
  return postRequest({ route: '/v1/accounts', apiKey, body });
}

function payoutRequest({ apiKey }: BenchMerchant): string {
  const body = '{"amount":"100","currency":"EUR","destination":"bank_ok"}';
  return postRequest({ route: '/v1/payouts', apiKey, body, idempotencyKey: newKey() });
}

function newKey(): string {
  return randomBytes(8).toString('hex');
}
