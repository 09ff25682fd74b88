import type { Span } from '@opentelemetry/api';
import { type Clock, systemClock } from '#kernel/clock.js';
import type { Balance } from '#ledger/accounts/account.js';
import type { BalanceFences, FencedAccount, FencedGroup } from '#ledger/writing/balance-fences.js';
import { finishInTurns, mapped } from '#platform/turns.js';
import { type CacheClient, CacheRefused, type ScriptCall } from './cache-client.js';
import { cacheKey, encodeValue } from './cached-balance.js';
import type { PendingInvalidations } from './pending-invalidations.js';

export interface CacheFencesOptions {
  ttlMs: number;
  clock?: Clock;
}

/** A try of a commit group: its token, and where it shows in a trace. */
interface Group {
  readonly token: bigint;
  readonly span: Span | undefined;
}

interface Change {
  readonly account: FencedAccount;
  readonly version: bigint;
  readonly call: ScriptCall;
}

/** Counts since the process began. */
export interface FenceCounts {
  readonly groups: number;
  /** Groups whose fence was not confirmed. */
  readonly unfenced: number;
  readonly installed: number;
  /** Publishes that found a newer version, an old fence, or no fence of theirs. */
  readonly refused: number;
  /** Publishes, invalidations and unfences that could not be confirmed. */
  readonly unconfirmed: number;
}

/** Fence → commit → publish → acknowledge, for the groups of one process. */
export class CacheFences implements BalanceFences {
  readonly #client: CacheClient;
  readonly #pending: PendingInvalidations;
  readonly #options: CacheFencesOptions;
  readonly #clock: Clock;
  readonly #counts = { groups: 0, unfenced: 0, installed: 0, refused: 0, unconfirmed: 0 };

  constructor(client: CacheClient, pending: PendingInvalidations, options: CacheFencesOptions) {
    this.#client = client;
    this.#pending = pending;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  get counts(): FenceCounts {
    return { ...this.#counts };
  }

  async fence(
    accounts: readonly FencedAccount[],
    token: bigint,
    deadlineMs: number,
    span?: Span,
  ): Promise<FencedGroup> {
    this.#counts.groups += 1;
    const named = await inTurns(accounts, (account) => [cacheKey(account), account] as const);
    const distinct = [...new Map(named).values()];
    const fences = distinct.map((account): ScriptCall => ({ script: 'fence', account, args: [token] }));
    const confirmed = await this.#confirmed(fences, span, deadlineMs);
    if (!confirmed) this.#counts.unfenced += 1;
    let ended = false;
    const once = (): void => {
      if (ended) throw new Error(`the fences of group ${token} were ended twice`);
      ended = true;
    };
    return {
      confirmed,
      publish: async (values) => {
        once();
        if (confirmed) await this.#publish(distinct, { token, span }, values);
        else await this.#invalidateUnfenced(distinct, { token, span }, values);
      },
      abandon: async () => {
        once();
        await this.#unfence(distinct, { token, span });
      },
      leave: once,
    };
  }

  async invalidate(versions: readonly (FencedAccount & { version: bigint })[], span?: Span): Promise<void> {
    const { ttlMs } = this.#options;
    const newest = new Map<string, FencedAccount & { version: bigint }>();
    for (const one of versions) {
      const before = newest.get(cacheKey(one));
      if (!before || before.version < one.version) newest.set(cacheKey(one), one);
    }
    await this.#runOrKeep(
      [...newest.values()].map(({ version, ...account }) => ({
        account,
        version,
        call: { script: 'invalidate', account, args: [version, ttlMs] },
      })),
      span,
    );
  }

  async #publish(
    fenced: readonly FencedAccount[],
    { token, span }: Group,
    values: readonly (FencedAccount & { balance: Balance })[],
  ): Promise<void> {
    const { ttlMs } = this.#options;
    const asOfMs = this.#clock.now();
    // An account that was changed without a fence is only invalidated by this: after COMMIT everything is invalidated, come what may.
    const published = await inTurns(values, ({ merchantId, accountId, balance }) => {
      const account = { merchantId, accountId };
      const args = [token, balance.version, encodeValue({ ...balance, asOfMs }), ttlMs];
      return { account, version: balance.version, call: { script: 'publish' as const, account, args } };
    });
    const names = new Set(await inTurns(values, cacheKey));
    const unchanged = (await inTurns(fenced, (account) => (names.has(cacheKey(account)) ? [] : [account]))).flat();
    await Promise.all([this.#runOrKeep(published, span), this.#unfence(unchanged, { token, span })]);
  }

  /**
   * A fence that was not confirmed may still arrive, later than COMMIT and even later than other writers' acknowledgements.
   * A publish right behind it would then find its token and install what is old by then, with a deadline that counts from
   * the late fence. So nothing is installed: the versions are invalidated, and the token is removed.
   */
  async #invalidateUnfenced(
    fenced: readonly FencedAccount[],
    { token, span }: Group,
    values: readonly (FencedAccount & { balance: Balance })[],
  ): Promise<void> {
    const versions = values.map(({ merchantId, accountId, balance }) => ({
      merchantId,
      accountId,
      version: balance.version,
    }));
    await Promise.all([this.#unfence(fenced, { token, span }), this.invalidate(versions, span)]);
  }

  /** Not confirmed: the token stays until the sweep, or until one of the tries that follow. */
  async #unfence(accounts: readonly FencedAccount[], { token, span }: Group): Promise<void> {
    const calls = accounts.map(
      (account): ScriptCall => ({ script: 'unfence', account, args: [token, this.#options.ttlMs] }),
    );
    if (await this.#confirmed(calls, span)) return;
    for (const call of calls) this.#pending.add(call.account, 0n, [call]);
  }

  async #runOrKeep(changes: readonly Change[], span: Span | undefined): Promise<void> {
    const calls = changes.map(({ call }) => call);
    if (await this.#confirmed(calls, span)) return;
    for (const { account, version, call } of changes) this.#pending.add(account, version, [call]);
    await Promise.all(changes.map(({ account, version }) => this.#pending.outlive(account, version)));
  }

  async #confirmed(calls: readonly ScriptCall[], span: Span | undefined, deadlineMs?: number): Promise<boolean> {
    if (calls.length === 0) return true;
    try {
      const replies = await this.#client.run(calls, deadlineMs, span);
      for (const [index, reply] of replies.entries()) {
        if (calls[index]?.script !== 'publish') continue;
        if (reply === 1) this.#counts.installed += 1;
        else this.#counts.refused += 1;
      }
      return !replies.some((reply) => reply instanceof CacheRefused);
    } catch {
      this.#counts.unconfirmed += 1;
      return false;
    }
  }
}

/** A group of 50,000 accounts would keep others waiting for each step; a usual one goes on at once. */
function inTurns<T, R>(items: readonly T[], map: (item: T) => R): Promise<R[]> {
  return finishInTurns(mapped(items, map));
}
