import { generateApiKey } from '#tenancy/api-key.js';
import { type BenchMerchant, balanceAtRequest, getRequest, type Load, RequestSource } from './requests.js';

/** What a merchant can be loud with. */
export const KINDS = [
  'postings',
  'hot account',
  'batches of 1,000',
  'full pages',
  'point in time',
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
  'batches of 1,000': 4,
  'full pages': 8,
  'point in time': 8,
  'event pages': 8,
  'event streams': 16,
  // What its endpoints are told of.
  'slow webhooks': 4,
  'forged keys': 16,
};

const PAGE = 1_000;
const DAY_MS = 86_400_000;

/** An endless supply of requests of one kind. */
export function requestsOf(kind: Kind, merchant: BenchMerchant, run: string): () => string {
  const posting = (load: Pick<Load, 'spread' | 'batch'>): (() => string) => {
    const source = new RequestSource([merchant], { ...POSTING, ...load }, run);
    return () => source.next();
  };
  switch (kind) {
    case 'postings':
    case 'slow webhooks':
      return posting({ spread: 'uniform', batch: 1 });
    case 'hot account':
      return posting({ spread: 'hot', batch: 1 });
    case 'batches of 1,000':
      return posting({ spread: 'uniform', batch: 1_000 });
    case 'full pages':
      return () => getRequest(merchant, `transactions?limit=${PAGE}`);
    case 'event pages':
      return () => getRequest(merchant, `events?limit=${PAGE}`);
    case 'point in time':
      return () => balanceAtRequest(merchant, Date.now() - Math.random() * DAY_MS);
    case 'forged keys':
      return () => getRequest({ ...merchant, apiKey: generateApiKey(BigInt(merchant.id)) }, 'accounts');
    case 'event streams':
      throw new Error('a stream is not asked for over and over');
  }
}

const POSTING = { port: 0, callers: 0, warmUpMs: 0, measureMs: 0, lateMs: 0 };
