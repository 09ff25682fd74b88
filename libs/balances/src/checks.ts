import { Database } from '#platform/postgres.js';
import type { OutsideCheck } from '#platform/room-hooks.js';
import type { CheckResult } from '#platform/verify.js';
import { CacheClient } from './cache-client.js';
import { CacheJudge, type Compared, JUDGED_AT_ONCE } from './cache-judge.js';
import { type AccountKey, accountOf } from './cached-balance.js';
import { accountsOf } from './monitor-store.js';

const NAME = 'I5: the cache serves the ledger’s balance of an account, or nothing';
const OFFENDERS_SHOWN = 20;
/** Nobody waits for an answer. */
const REDIS_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Every balance that the cache holds, compared with the ledger as the monitor does it, so that a service may write meanwhile; heals
 * nothing. `redisUrl`: Redis in the cache role. Rejects when it is away.
 */
export async function verifyCache(databaseUrl: string, redisUrl: string): Promise<CheckResult> {
  const client = new CacheClient({ url: redisUrl, timeoutMs: REDIS_TIMEOUT_MS, connectionName: 'counterfoil-verify' });
  const database = new Database(databaseUrl, {
    poolSize: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    applicationName: 'counterfoil-verify',
  });
  try {
    await client.ready();
    const told = (compared: Compared) => `merchant ${compared.account.merchantId}: ${describe(compared)}`;
    return await compareAll(cachedAccounts(client), new CacheJudge(client, database), OFFENDERS_SHOWN, told);
  } finally {
    await Promise.all([client.close(), database.close()]);
  }
}

/** The same of the accounts of one merchant. */
export function cacheCheck(client: CacheClient, database: Database): OutsideCheck {
  const judge = new CacheJudge(client, database);
  return {
    name: NAME,
    run: (merchantId, room, deadline) =>
      compareAll(accountsOf(database, merchantId, JUDGED_AT_ONCE, deadline), judge, room, describe),
  };
}

async function* cachedAccounts(client: CacheClient): AsyncGenerator<AccountKey[]> {
  for await (const keys of client.keys()) {
    const accounts = keys.map(accountOf).filter((account) => account !== undefined);
    for (let at = 0; at < accounts.length; at += JUDGED_AT_ONCE) yield accounts.slice(at, at + JUDGED_AT_ONCE);
  }
}

async function compareAll(
  pages: AsyncIterable<AccountKey[]>,
  judge: CacheJudge,
  room: number,
  told: (compared: Compared) => string,
): Promise<CheckResult> {
  const offenders: string[] = [];
  let counted = 0n;
  for await (const accounts of pages) {
    const { faults, right } = await judge.judge(accounts);
    counted += BigInt(faults.length + right.length);
    offenders.push(...faults.map(told).slice(0, room - offenders.length));
  }
  return { name: NAME, counted, offenders };
}

/** Ids and versions; amounts are the merchant's own business. */
function describe({ account, look, ledger, verdict }: Compared): string {
  const served = look.kind === 'served' ? `version ${look.version}` : 'a value that nobody can read';
  const is = ledger ? `version ${ledger.version}` : 'no such account';
  return `account ${account.accountId}: ${verdict}: the cache serves ${served}, the ledger has ${is}`;
}
