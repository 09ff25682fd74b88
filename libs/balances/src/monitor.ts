import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import type { CacheClient, ScriptCall } from './cache-client.js';
import { CacheJudge, type Compared, JUDGED_AT_ONCE, type Verdict } from './cache-judge.js';
import { type AccountKey, accountOf, cacheKey } from './cached-balance.js';
import { lastEventsOf, sampleAccounts } from './monitor-store.js';

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

const DEADLINE_MS = 5_000;
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
  readonly #judge: CacheJudge;
  readonly #options: MonitorOptions;
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
    this.#judge = new CacheJudge(parts.client, parts.database, options.confirmAfterMs);
    this.#options = options;
  }

  get counts(): MonitorCounts {
    return { ...this.#counts };
  }

  /** Returns how many faults it found. Rejects when Redis or PostgreSQL is away. */
  async round(): Promise<number> {
    const share = Math.ceil(this.#options.sample / 2);
    const [cached, any] = await Promise.all([
      this.#cachedAccounts(share),
      sampleAccounts(this.#database, share, Deadline.after(DEADLINE_MS)),
    ]);
    const distinct = [...new Map([...cached, ...any].map((account) => [cacheKey(account), account])).values()];
    let faults = 0;
    for (let at = 0; at < distinct.length; at += JUDGED_AT_ONCE)
      faults += await this.check(distinct.slice(at, at + JUDGED_AT_ONCE));
    this.#counts.rounds += 1;
    return faults;
  }

  /** Compares, counts, logs and heals these accounts. Returns how many faults it found. */
  async check(accounts: readonly AccountKey[]): Promise<number> {
    const { faults, right, suspected } = await this.#judge.judge(accounts);
    for (const verdict of right) this.#counts[verdict] += 1;
    this.#counts.suspected += suspected;
    for (const fault of faults) {
      this.#counts[fault.verdict] += 1;
      // What was found is told even if Redis has gone meanwhile; then the next round heals it.
      const healed = await this.#heal(fault).catch(() => false);
      await this.#report(fault, healed);
    }
    return faults.length;
  }

  /**
   * Stale: as any reader who learnt of the ledger's version. Ahead and corrupt: exactly that value is evicted. Returns
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
