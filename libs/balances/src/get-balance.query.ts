import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { invalid, notFound } from '#kernel/problem.js';
import type { Side, Totals } from '#ledger/accounts/account.js';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import { getBalanceAt, readBalances } from '#ledger/accounts/balance-store.js';
import { BALANCE_FENCES, type BalanceFences } from '#ledger/writing/balance-fences.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { BALANCE_CACHE, type BalanceCache } from './balance-cache.js';
import type { Consistency } from './read-balance.js';

/** A balance in the past is found in several reads: its last entry, those that are back-dated, and the newest version. */
const ROWS_IN_THE_PAST = 3;

export interface BalanceView extends Totals {
  accountId: bigint;
  currency: string;
  normalSide: Side;
  version: bigint;
  /** What the balance contains was committed by then; milliseconds since 1970. */
  asOfMs: number;
  source: 'cache' | 'database' | 'process';
}

/** The balance now, or by effective time at `atMs`. Throws `not_found`, or `validation_failed` for a version not there yet. */
export class GetBalanceQuery extends Query<BalanceView> {
  constructor(
    readonly context: RequestContext,
    readonly accountId: bigint,
    readonly options: { consistency: Consistency; minVersion?: bigint | undefined; atMs?: number | undefined },
  ) {
    super();
  }
}

@QueryHandler(GetBalanceQuery)
export class GetBalanceHandler implements IQueryHandler<GetBalanceQuery> {
  constructor(
    private readonly database: Database,
    private readonly directory: AccountDirectory,
    @Inject(BALANCE_CACHE) private readonly cache: BalanceCache | undefined,
    @Inject(BALANCE_FENCES) private readonly fences: BalanceFences,
  ) {}

  async execute({ context, accountId, options }: GetBalanceQuery): Promise<BalanceView> {
    const { merchantId, deadline, cost } = context;
    const { consistency, minVersion, atMs } = options;
    if (atMs !== undefined) {
      const record = await getBalanceAt(this.database, merchantId, accountId, atMs, deadline);
      cost.addRows(ROWS_IN_THE_PAST);
      return this.#fromDatabase(context, record, minVersion);
    }
    const [account] = await this.directory.find(merchantId, [{ id: accountId }], deadline);
    if (!account) throw notFound('account');
    const { currency, normalSide } = account;
    if (!this.cache) {
      const [balance] = await readBalances(this.database, [{ merchantId, accountId }], deadline);
      const record = balance && { ...balance, currency, normalSide, newestVersion: balance.version };
      return this.#fromDatabase(context, record, minVersion);
    }
    const answer = await this.cache.reader.read({ merchantId, accountId }, { consistency, minVersion, deadline });
    if (!answer) throw notFound('account');
    if (answer.source === 'database') cost.addRows(1);
    return { ...answer, accountId, currency, normalSide };
  }

  /**
   * Invalidate before answering: a version that was read past the cache must not be followed by an older one from it. A balance in the
   * past counts back-dated entries, however new: it, too, is as new as the account.
   */
  async #fromDatabase(
    { merchantId, cost, span }: RequestContext,
    record: (Omit<BalanceView, 'source'> & { newestVersion: bigint }) | undefined,
    minVersion = 0n,
  ): Promise<BalanceView> {
    if (!record) throw notFound('account');
    cost.addRows(1);
    const { accountId, newestVersion: newest } = record;
    await this.fences.invalidate([{ merchantId, accountId, version: newest }], span);
    if (newest < minVersion) throw invalid('min_version', `is ${minVersion}, but the account is at version ${newest}`);
    return { ...record, source: 'database' };
  }
}
