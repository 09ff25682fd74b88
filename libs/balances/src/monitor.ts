import { setTimeout as sleep } from 'node:timers/promises';
import type { Totals } from '#ledger/account.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import type { CacheClient, ScriptCall } from './cache-client.js';
import { type AccountKey, accountOf, type CachedBalance, cacheKey, decodeValue } from './cached-balance.js';
import { loadBalances } from './load-balances.js';
import { lastEventsOf, sampleAccounts } from './monitor-store.js';

/**
 * What one account's cache entry was found to be. `fenced` and `absent`: nothing can be served, which is never wrong.
 * `stale`: it serves a version below one that was committed before it was looked at. `ahead`: it serves a version that the
 * ledger does not have. `corrupt`: the ledger's version with other totals, or a value that nobody here wrote.
 */
export type Verdict = 'fresh' | 'stale' | 'ahead' | 'corrupt' | 'absent' | 'fenced';
export const VERDICTS: readonly Verdict[] = ['fresh', 'stale', 'ahead', 'corrupt', 'absent', 'fenced'];
const FAULTS: readonly Verdict[] = ['stale', 'ahead', 'corrupt'];

export interface MonitorOptions {
  ttlMs: number;
  /** Accounts of one round: half of them from the cache, half from the ledger. */
  sample: number;
  /** Before each second look at an account that seems wrong. */
  confirmAfterMs?: number;
}

/** Counts since the process began. */
export interface MonitorCounts extends Readonly<Record<Verdict, number>> {
  readonly rounds: number;
  /** Seemed wrong at the first look; most of them were writes under way. */
  readonly suspected: number;
  readonly healed: number;
}

/** One look at the cache, as it would be served at that moment. */
type Look =
  | { kind: 'fenced' | 'absent' }
  | { kind: 'served'; version: bigint; balance: CachedBalance; raw: Raw }
  | { kind: 'unreadable'; raw: Raw };

/** Version and value as Redis has them. */
type Raw = readonly [version: string, value: string];

interface Compared {
  readonly account: AccountKey;
  readonly look: Look;
  readonly ledger: CachedBalance | undefined;
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
const BATCH = 100;
/** Steps of SCAN in one round; a cache that holds little else than balances needs one or two. */
const SCAN_STEPS = 10;

/**
 * Compares what the cache would serve with the ledger, by version, and heals what is wrong: the net under the protocol
 * (as Meta's Polaris), and the one thing that sees a change made behind the cache's back. It only reads, invalidates and
 * evicts, so that any number may run, at any time.
 */
export class BalanceMonitor {
  readonly #client: CacheClient;
  readonly #database: Database;
  readonly #logger: Logger;
  readonly #options: Required<MonitorOptions>;
  readonly #counts = {
    fresh: 0,
    stale: 0,
    ahead: 0,
    corrupt: 0,
    absent: 0,
    fenced: 0,
    rounds: 0,
    suspected: 0,
    healed: 0,
  };
  /** SCAN goes on where the last round ended: in a quiet cache every account comes up in its turn. */
  #cursor = '0';

  constructor(parts: { client: CacheClient; database: Database; logger: Logger }, options: MonitorOptions) {
    this.#client = parts.client;
    this.#database = parts.database;
    this.#logger = parts.logger;
    this.#options = { confirmAfterMs: CONFIRM_AFTER_MS, ...options };
  }

  get counts(): MonitorCounts {
    return { ...this.#counts };
  }

  /** Answers how many faults it found. Rejects when Redis or PostgreSQL is away. */
  async round(): Promise<number> {
    const share = Math.ceil(this.#options.sample / 2);
    const [cached, any] = await Promise.all([
      this.#cachedAccounts(share),
      sampleAccounts(this.#database, share, Deadline.after(DEADLINE_MS)),
    ]);
    const distinct = [...new Map([...cached, ...any].map((account) => [cacheKey(account), account])).values()];
    let faults = 0;
    for (let at = 0; at < distinct.length; at += BATCH) faults += await this.check(distinct.slice(at, at + BATCH));
    this.#counts.rounds += 1;
    return faults;
  }

  /** Compares, counts, logs and heals these accounts. Answers how many faults it found. */
  async check(accounts: readonly AccountKey[]): Promise<number> {
    const settle = (compared: readonly Compared[]): Compared[] => {
      for (const { verdict } of compared) if (!FAULTS.includes(verdict)) this.#counts[verdict] += 1;
      return compared.filter(({ verdict }) => FAULTS.includes(verdict));
    };
    let suspects = settle(await this.#compare(accounts, new Map()));
    this.#counts.suspected += suspects.length;
    // The first look was older than the ledger's answer: a write may have come in between. From now on it counts only if the
    // value is still served after the version above it is known to be committed; the pause lets a publish under way arrive.
    for (let again = 0; again < CONFIRMATIONS && suspects.length > 0; again += 1) {
      await sleep(this.#options.confirmAfterMs);
      const committed = new Map(suspects.map(({ account, ledger }) => [cacheKey(account), ledger?.version ?? 0n]));
      suspects = settle(
        await this.#compare(
          suspects.map(({ account }) => account),
          committed,
        ),
      );
    }
    for (const fault of suspects) {
      this.#counts[fault.verdict] += 1;
      // What was found is told even if Redis has gone meanwhile; then the next round heals it.
      const healed = await this.#heal(fault).catch(() => false);
      await this.#report(fault, healed);
    }
    return suspects.length;
  }

  /** The cache first, then the ledger. `committed`: versions that were committed before this look; absent on the first. */
  async #compare(accounts: readonly AccountKey[], committed: ReadonlyMap<string, bigint>): Promise<Compared[]> {
    const { nowMs, hashes } = await this.#client.hashes(accounts.map(cacheKey));
    const looks = accounts.map((account, index) => ({ account, look: lookAt(hashes[index] ?? {}, nowMs) }));
    // What serves nothing needs no answer from the ledger.
    const served = looks.filter(({ look }) => look.kind !== 'fenced' && look.kind !== 'absent');
    const balances =
      served.length === 0
        ? new Map<string, CachedBalance>()
        : await loadBalances(
            this.#database,
            served.map(({ account }) => account),
            Deadline.after(DEADLINE_MS),
          );
    return looks.map(({ account, look }) => {
      const ledger = balances.get(cacheKey(account));
      return { account, look, ledger, verdict: judge(look, ledger, committed.get(cacheKey(account))) };
    });
  }

  /**
   * Stale: as any reader who learnt of the ledger's version. Ahead and corrupt: exactly that value is evicted. Answers
   * false when a writer, or another monitor, was there before.
   */
  async #heal({ account, look, ledger, verdict }: Compared): Promise<boolean> {
    const call: ScriptCall =
      'raw' in look && verdict !== 'stale'
        ? { script: 'heal', account, args: look.raw }
        : { script: 'invalidate', account, args: [ledger?.version ?? 0n, this.#options.ttlMs] };
    const [reply] = await this.#client.run([call]);
    const healed = reply === 1;
    if (healed) this.#counts.healed += 1;
    return healed;
  }

  /** Ids, versions and times; amounts are the merchant's own business. */
  async #report({ account, look, ledger, verdict }: Compared, healed: boolean): Promise<void> {
    const events = await lastEventsOf(this.#database, account, Deadline.after(DEADLINE_MS)).catch((error: unknown) => {
      this.#logger.warn({ err: error }, 'the last events of an account could not be read');
      return [];
    });
    this.#logger.error(
      {
        verdict,
        healed,
        merchant_id: String(account.merchantId),
        account_id: String(account.accountId),
        cache_version: look.kind === 'served' ? String(look.version) : null,
        cache_as_of_ms: look.kind === 'served' ? look.balance.asOfMs : null,
        ledger_version: ledger ? String(ledger.version) : null,
        last_events: events,
      },
      'the cache served a balance that is not the ledger’s',
    );
  }

  async #cachedAccounts(count: number): Promise<AccountKey[]> {
    const found: AccountKey[] = [];
    for (let step = 0; step < SCAN_STEPS && found.length < count; step += 1) {
      const { cursor, keys } = await this.#client.scan(this.#cursor, count);
      this.#cursor = cursor;
      for (const key of keys) {
        const account = accountOf(key);
        if (account) found.push(account);
      }
      if (cursor === '0') break;
    }
    // SCAN answers whole buckets; what is over comes up again in a later round.
    return found.slice(0, count * 2);
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
function judge(look: Look, ledger: CachedBalance | undefined, committed: bigint | undefined): Verdict {
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
