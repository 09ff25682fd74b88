import type { Totals } from '#ledger/accounts/account.js';

/** An account with its tenant: what the cache is keyed by. */
export interface AccountKey {
  readonly merchantId: bigint;
  readonly accountId: bigint;
}

/** What the cache keeps of a balance; currency and side never change and are looked up elsewhere. */
export interface CachedBalance extends Totals {
  readonly version: bigint;
  /** When PostgreSQL read or wrote it, milliseconds since 1970. */
  readonly asOfMs: number;
}

/** The braces keep one merchant in one slot of a Redis Cluster. */
export function cacheKey({ merchantId, accountId }: AccountKey): string {
  return `bal:{${merchantId}}:${accountId}`;
}

/** The account of a key; undefined when the key is not one of ours. */
export function accountOf(key: string): AccountKey | undefined {
  const [, merchantId, accountId] = /^bal:\{(\d+)\}:(\d+)$/.exec(key) ?? [];
  if (merchantId === undefined || accountId === undefined) return undefined;
  return { merchantId: BigInt(merchantId), accountId: BigInt(accountId) };
}

/** The version is a field of its own. */
export function encodeValue(balance: Totals & { asOfMs: number }): string {
  const { postedDebits, postedCredits, pendingDebits, pendingCredits, asOfMs } = balance;
  return `${postedDebits} ${postedCredits} ${pendingDebits} ${pendingCredits} ${asOfMs}`;
}

/** Throws on what `encodeValue` never wrote. */
export function decodeValue(version: string, value: string): CachedBalance {
  if (!/^-?\d+ -?\d+ -?\d+ -?\d+ \d+(\.\d+)?$/.test(value)) throw new Error('a cached balance that cannot be read');
  const [postedDebits, postedCredits, pendingDebits, pendingCredits, asOfMs] = value.split(' ') as [
    string,
    string,
    string,
    string,
    string,
  ];
  return {
    version: BigInt(version),
    postedDebits: BigInt(postedDebits),
    postedCredits: BigInt(postedCredits),
    pendingDebits: BigInt(pendingDebits),
    pendingCredits: BigInt(pendingCredits),
    asOfMs: Number(asOfMs),
  };
}
