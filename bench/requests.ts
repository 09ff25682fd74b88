import { FactSource } from './fact-source.js';

/** A merchant of the benchmark's own, and its accounts' ids. */
export interface BenchMerchant {
  id: string;
  apiKey: string;
  accounts: string[];
}

export interface Load {
  port: number;
  callers: number;
  warmUpMs: number;
  measureMs: number;
  /** `hot`: every transfer goes into the first merchant's first account. */
  spread: 'uniform' | 'hot';
  /** Transactions, or facts, in a request; above 1 the batch route takes them. */
  batch: number;
  /** Instead of transactions: facts that a provider tells of payments, or payments that the merchant opens. */
  of?: 'facts' | 'payments' | undefined;
  /** Reads balances instead, one a request; the account is drawn as for a posting. */
  read?: boolean | undefined;
  /** Of each merchant only so many accounts are read; default all. */
  among?: number | undefined;
  /** How long before its recording a transaction took effect; 0: no `effective_at` is sent. */
  lateMs: number;
  /** Requests a second, spread evenly, as far as the callers get through; absent: as fast as they do. */
  perSecond?: number | undefined;
}

interface Target {
  route: string;
  apiKey: string;
  body: string;
  idempotencyKey?: string;
}

export function postRequest({ route, apiKey, body, idempotencyKey }: Target): string {
  const key = idempotencyKey ? `Idempotency-Key: ${idempotencyKey}\r\n` : '';
  return (
    `POST ${route} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${apiKey}\r\nContent-Type: application/json\r\n` +
    `${key}Content-Length: ${body.length}\r\n\r\n${body}`
  );
}

export function balanceRequest(merchant: BenchMerchant, account: number): string {
  return getRequest(merchant, `accounts/${merchant.accounts[account]}/balance`);
}

/** Of an account that is drawn. */
export function balanceAtRequest(merchant: BenchMerchant, atMs: number): string {
  const at = new Date(atMs).toISOString();
  return getRequest(merchant, `accounts/${pick(merchant.accounts)}/balance?at=${at}`);
}

/** `path` below /v1/. */
export function getRequest({ apiKey }: BenchMerchant, path: string): string {
  return `GET /v1/${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${apiKey}\r\n\r\n`;
}

const PAYMENT = '{"amount":"2500","currency":"EUR","capture":"automatic"}';

/** An endless supply of requests for one load. All text is ASCII: a body's characters are its bytes. */
export class RequestSource {
  readonly #merchants: readonly BenchMerchant[];
  readonly #load: Load;
  readonly #run: string;
  readonly #facts: FactSource;
  #sent = 0;
  #effectiveAt = '';

  constructor(merchants: readonly BenchMerchant[], load: Load, run: string) {
    this.#merchants = merchants;
    this.#load = load;
    this.#run = run;
    this.#facts = new FactSource(run);
  }

  next(): string {
    const { batch, lateMs } = this.#load;
    // A new time every few requests is enough for a load, and toISOString costs more than the rest of the request.
    if (lateMs > 0 && this.#sent % 32 === 0)
      this.#effectiveAt = `,"effective_at":"${new Date(Date.now() - lateMs).toISOString()}"`;
    this.#sent += 1;
    const merchant = this.#load.spread === 'hot' ? this.#merchants[0] : pick(this.#merchants);
    if (!merchant) throw new Error('a load without merchants');
    if (this.#load.read) {
      const count = this.#load.spread === 'hot' ? 1 : (this.#load.among ?? merchant.accounts.length);
      return balanceRequest(merchant, Math.floor(Math.random() * Math.min(count, merchant.accounts.length)));
    }
    if (this.#load.of === 'facts') return this.#factRequest(merchant);
    const target = { apiKey: merchant.apiKey, idempotencyKey: `${this.#run}-${this.#sent}` };
    if (this.#load.of === 'payments') return postRequest({ ...target, route: '/v1/payments', body: PAYMENT });
    if (batch === 1) return postRequest({ ...target, route: '/v1/transactions', body: this.#transaction(merchant) });
    const transactions = Array.from({ length: batch }, () => this.#transaction(merchant)).join(',');
    return postRequest({
      ...target,
      route: '/v1/transactions/batch',
      body: `{"mode":"independent","transactions":[${transactions}]}`,
    });
  }

  #factRequest(merchant: BenchMerchant): string {
    const { batch } = this.#load;
    const { apiKey } = merchant;
    if (batch === 1) return postRequest({ route: '/v1/provider_events', apiKey, body: this.#facts.next(merchant) });
    const events = Array.from({ length: batch }, () => this.#facts.next(merchant)).join(',');
    return postRequest({ route: '/v1/provider_events/batch', apiKey, body: `{"events":[${events}]}` });
  }

  #transaction({ accounts }: BenchMerchant): string {
    const count = accounts.length;
    const to = this.#load.spread === 'hot' ? 0 : Math.floor(Math.random() * count);
    const from = (to + 1 + Math.floor(Math.random() * (count - 1))) % count;
    const amount = 1 + Math.floor(Math.random() * 10_000);
    return (
      `{"type":"payment"${this.#effectiveAt},"entries":[` +
      `{"account_id":"${accounts[from]}","direction":"debit","amount":"${amount}","currency":"EUR"},` +
      `{"account_id":"${accounts[to]}","direction":"credit","amount":"${amount}","currency":"EUR"}]}`
    );
  }
}

function pick<T>(items: readonly T[]): T | undefined {
  return items[Math.floor(Math.random() * items.length)];
}
