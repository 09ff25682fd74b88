import { randomBytes } from 'node:crypto';
import { generateApiKey } from '#tenancy/api-key.js';
import { type BenchMerchant, balanceAtRequest, getRequest, type Load, RequestSource } from './requests.js';

/** What a merchant can be loud with. */
export const KINDS = [
  'postings',
  'hot account',
  'batches of 1000',
  'full pages',
  'point in time',
  'exports',
  'event pages',
  'event streams',
  'slow webhooks',
  'forged keys',
] as const;
export type Kind = (typeof KINDS)[number];

/** Connections with one request under way at a time; streams are each one. */
export const CONNECTIONS: Record<Kind, number> = {
  postings: 16,
  'hot account': 16,
  'batches of 1000': 4,
  'full pages': 8,
  'point in time': 8,
  exports: 8,
  'event pages': 8,
  'event streams': 16,
  // What its endpoints are told of.
  'slow webhooks': 4,
  'forged keys': 16,
};

/** What one connection asks for. */
export interface Requests {
  next(): string;
  /** Told each page that was asked for, where the next request depends on it. */
  read?(page: Buffer): void;
}

const PAGE = 1_000;
const DAY_MS = 86_400_000;
const POSTING = { port: 0, callers: 0, warmUpMs: 0, measureMs: 0, lateMs: 0 };

/** An endless supply for the connection of that number. */
export function requestsOf(kind: Kind, merchant: BenchMerchant, connection: number): Requests {
  const posting = (load: Pick<Load, 'spread' | 'batch'>): Requests =>
    new RequestSource([merchant], { ...POSTING, ...load }, randomBytes(6).toString('hex'));
  switch (kind) {
    case 'postings':
    case 'slow webhooks':
      return posting({ spread: 'uniform', batch: 1 });
    case 'hot account':
      return posting({ spread: 'hot', batch: 1 });
    case 'batches of 1000':
      return posting({ spread: 'uniform', batch: 1_000 });
    case 'full pages':
      return { next: () => getRequest(merchant, `transactions?limit=${PAGE}`) };
    case 'event pages':
      return { next: () => getRequest(merchant, `events?limit=${PAGE}`) };
    case 'point in time':
      return { next: () => balanceAtRequest(merchant, Date.now() - Math.random() * DAY_MS) };
    case 'exports':
      return new Export(merchant, connection);
    case 'forged keys':
      return { next: () => getRequest({ ...merchant, apiKey: generateApiKey(BigInt(merchant.id)) }, 'accounts') };
    case 'event streams':
      throw new Error('a stream is not asked for over and over');
  }
}

/** At the end of a page. */
const MORE = /"has_more":true,"next_cursor":"([^"]+)"\}$/;
const MORE_BYTES = 512;

/** Walks through all that a merchant has, list after list, each from its beginning to its end, and begins again. */
class Export implements Requests {
  readonly #merchant: BenchMerchant;
  readonly #lists: readonly { path: string; from: string }[];
  #list: number;
  #cursor: string | undefined;

  /** Connections begin with different lists. */
  constructor(merchant: BenchMerchant, connection: number) {
    this.#merchant = merchant;
    this.#lists = [
      { path: 'transactions', from: 'cursor' },
      { path: 'events', from: 'after' },
      { path: `accounts/${merchant.accounts[connection % merchant.accounts.length]}/entries`, from: 'cursor' },
    ];
    this.#list = connection;
  }

  next(): string {
    const { path, from } = this.#lists[this.#list % this.#lists.length] as { path: string; from: string };
    const onwards = this.#cursor === undefined ? '' : `&${from}=${this.#cursor}`;
    return getRequest(this.#merchant, `${path}?limit=${PAGE}${onwards}`);
  }

  read(page: Buffer): void {
    this.#cursor = MORE.exec(page.toString('latin1', Math.max(0, page.length - MORE_BYTES)))?.[1];
    if (this.#cursor === undefined) this.#list += 1;
  }
}
