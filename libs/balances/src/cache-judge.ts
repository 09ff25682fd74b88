import { setTimeout as sleep } from 'node:timers/promises';
import type { Totals } from '#ledger/accounts/account.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { CacheClient } from './cache-client.js';
import { type AccountKey, type CachedBalance, cacheKey, decodeValue } from './cached-balance.js';
import { type LedgerBalance, ledgerBalances } from './monitor-store.js';

/**
 * What one account's cache entry was found to be. `fenced` and `absent`: nothing can be served, which is never wrong.
 * `stale`: it serves a version below one that was committed before it was looked at. `ahead`: it serves a version that the
 * ledger does not have. `corrupt`: the ledger's version with other totals, or a value that nobody here wrote.
 */
export type Verdict = 'fresh' | 'stale' | 'ahead' | 'corrupt' | 'absent' | 'fenced';
export const VERDICTS: readonly Verdict[] = ['fresh', 'stale', 'ahead', 'corrupt', 'absent', 'fenced'];
const FAULTS: readonly Verdict[] = ['stale', 'ahead', 'corrupt'];

/** One look at the cache, as it would be served at that moment. */
type Look =
  | { kind: 'fenced' | 'absent' }
  | { kind: 'served'; version: bigint; balance: CachedBalance; raw: Raw }
  | { kind: 'unreadable'; raw: Raw };

/** Version and value as Redis has them. */
type Raw = readonly [version: string, value: string];

export interface Compared {
  readonly account: AccountKey;
  readonly look: Look;
  readonly ledger: LedgerBalance | undefined;
  readonly verdict: Verdict;
}

/**
 * Several times the default BALANCE_REDIS_TIMEOUT_MS. With its fence a write is never met in between; one whose fence was
 * lost is, from its COMMIT to its publish, and should not wake anybody. Shorter would; longer only delays the heal.
 */
const CONFIRM_AFTER_MS = 200;
const CONFIRMATIONS = 2;
const DEADLINE_MS = 5_000;
/** Hashes in one pipeline: they must come within BALANCE_REDIS_TIMEOUT_MS. */
export const JUDGED_AT_ONCE = 100;

export interface Judgement {
  faults: Compared[];
  /** Of the other accounts. */
  right: Verdict[];
  /** Seemed wrong at the first look; most of them were writes under way. */
  suspected: number;
}

/**
 * Compares what the cache would serve with the ledger, by version. It asks PostgreSQL with a statement of its own: with the one that
 * fills the cache it would find right whatever that one gets wrong. Reads only.
 */
export class CacheJudge {
  readonly #client: CacheClient;
  readonly #database: Database;
  readonly #confirmAfterMs: number;

  constructor(client: CacheClient, database: Database, confirmAfterMs = CONFIRM_AFTER_MS) {
    this.#client = client;
    this.#database = database;
    this.#confirmAfterMs = confirmAfterMs;
  }

  /** At most JUDGED_AT_ONCE accounts. */
  async judge(accounts: readonly AccountKey[]): Promise<Judgement> {
    const right: Verdict[] = [];
    const settle = (compared: readonly Compared[]): Compared[] => {
      for (const { verdict } of compared) if (!FAULTS.includes(verdict)) right.push(verdict);
      return compared.filter(({ verdict }) => FAULTS.includes(verdict));
    };
    let faults = settle(await this.#compare(accounts, new Map()));
    const suspected = faults.length;
    // The first look was older than the ledger's answer: a write may have come in between. From now on it counts only if the
    // value is still served after the version above it is known to be committed; the pause lets a publish under way arrive.
    for (let again = 0; again < CONFIRMATIONS && faults.length > 0; again += 1) {
      await sleep(this.#confirmAfterMs);
      const committed = new Map(faults.map(({ account, ledger }) => [cacheKey(account), ledger?.version ?? 0n]));
      const suspects = faults.map(({ account }) => account);
      faults = settle(await this.#compare(suspects, committed));
    }
    return { faults, right, suspected };
  }

  /** The cache first, then the ledger. `committed`: versions that were committed before this look; absent on the first. */
  async #compare(accounts: readonly AccountKey[], committed: ReadonlyMap<string, bigint>): Promise<Compared[]> {
    const { nowMs, hashes } = await this.#client.hashes(accounts.map(cacheKey));
    const looks = accounts.map((account, index) => ({ account, look: lookAt(hashes[index] ?? {}, nowMs) }));
    // What serves nothing needs no answer from the ledger.
    const served = looks.filter(({ look }) => look.kind !== 'fenced' && look.kind !== 'absent');
    const balances =
      served.length === 0
        ? new Map<string, LedgerBalance>()
        : await ledgerBalances(
            this.#database,
            served.map(({ account }) => account),
            Deadline.after(DEADLINE_MS),
          );
    return looks.map(({ account, look }) => {
      const ledger = balances.get(cacheKey(account));
      return { account, look, ledger, verdict: judge(look, ledger, committed.get(cacheKey(account))) };
    });
  }
}

function lookAt(hash: Readonly<Record<string, string>>, nowMs: number): Look {
  if (Object.keys(hash).some((field) => field.startsWith('f:'))) return { kind: 'fenced' };
  const { ver, val, die } = hash;
  if (val === undefined || !(Number(die) > nowMs)) return { kind: 'absent' };
  const raw: Raw = [ver ?? '', val];
  try {
    const balance = decodeValue(...raw);
    return { kind: 'served', version: balance.version, balance, raw };
  } catch {
    return { kind: 'unreadable', raw };
  }
}

/** `committed` undefined: nothing was known before this look, and the ledger's version may have come after it. */
function judge(look: Look, ledger: LedgerBalance | undefined, committed: bigint | undefined): Verdict {
  if (look.kind === 'unreadable') return 'corrupt';
  if (look.kind !== 'served') return look.kind;
  if (!ledger || look.version > ledger.version) return 'ahead';
  if (look.version === ledger.version) return sameTotals(look.balance, ledger) ? 'fresh' : 'corrupt';
  return look.version < (committed ?? ledger.version) ? 'stale' : 'fresh';
}

function sameTotals(one: Totals, other: Totals): boolean {
  return (
    one.postedDebits === other.postedDebits &&
    one.postedCredits === other.postedCredits &&
    one.pendingDebits === other.pendingDebits &&
    one.pendingCredits === other.pendingCredits
  );
}
