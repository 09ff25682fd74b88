import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { cacheKey, decodeValue } from '#balances/cached-balance.js';
import { asAdmin } from '../support/database.js';
import { now } from './history.js';

const QUIET_LIMIT_MS = 20_000;
const POLL_MS = 200;

interface Row {
  readonly merchant: string;
  readonly account: string;
  readonly version: string;
  readonly sums: string;
}

const BALANCES = `
SELECT merchant_id::text AS merchant, account_id::text AS account, version::text AS version,
       concat_ws('/', posted_debits, posted_credits, pending_debits, pending_credits) AS sums FROM balances`;

/**
 * No client writes any more: what the cache serves, once `readAll` has filled it anew, is the ledger's, and soon no fence is left. Of an account
 * that the service itself writes to at that moment, as when it settles a day, the next look tells. Answers what is not so.
 */
export async function untilQuiet(
  url: string,
  ownerUrl: string,
  ttlMs: number,
  readAll: () => Promise<unknown>,
): Promise<string[]> {
  const redis = new Redis(url);
  try {
    const balances = async () => (await asAdmin(ownerUrl, (owner) => owner.query<Row>(BALANCES))).rows;
    // What X2 left behind is dead by then, and so is everything else.
    await sleep(ttlMs);
    const wrong = new Set<string>();
    const end = now() + QUIET_LIMIT_MS;
    for (;;) {
      await readAll();
      const rows = await balances();
      const looks = await Promise.all(rows.map((row) => look(redis, row)));
      const versions = new Map((await balances()).map(({ account, version }) => [account, version]));
      for (const [index, { differs }] of looks.entries())
        if (differs && versions.get(rows[index]?.account as string) === rows[index]?.version) wrong.add(differs);
      const fenced = looks.flatMap((one) => one.fenced ?? []);
      const isFilled = looks.some(({ isCached }) => isCached);
      // A fenced value is served to nobody, and a fence may outlive its writer for a while; nothing else may be wrong.
      if (fenced.length === 0 && isFilled) return [...wrong];
      if (now() > end) return [...wrong, ...fenced, ...(isFilled ? [] : ['after the run nothing is in the cache'])];
      await sleep(POLL_MS);
    }
  } finally {
    redis.disconnect();
  }
}

async function look(
  redis: Redis,
  { merchant, account, version, sums }: Row,
): Promise<{ isCached: boolean; differs?: string; fenced?: string }> {
  const hash = await redis.hgetall(cacheKey({ merchantId: BigInt(merchant), accountId: BigInt(account) }));
  const tokens = Object.keys(hash).filter((field) => field.startsWith('f:'));
  if (tokens.length > 0) {
    return { isCached: false, fenced: `after the run account ${account} is still fenced by ${tokens.join(', ')}` };
  }
  if (hash.val === undefined) return { isCached: false };
  const found = `${hash.ver} = ${sumsOf(hash.val)}`;
  if (found === `${version} = ${sums}`) return { isCached: true };
  const differs = `after the run the cache has ${found} of account ${account}, the ledger ${version} = ${sums}`;
  return { isCached: true, differs };
}

function sumsOf(value: string): string {
  const { postedDebits, postedCredits, pendingDebits, pendingCredits } = decodeValue('0', value);
  return [postedDebits, postedCredits, pendingDebits, pendingCredits].join('/');
}
