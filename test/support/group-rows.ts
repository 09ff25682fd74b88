import { trace } from '@opentelemetry/api';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Balance } from '#ledger/accounts/account.js';
import { type DecidedGroup, decideGroup, touchedBy } from '#ledger/writing/group.js';
import type { Submission, SubmittedCommand } from '#ledger/writing/group-extension.js';
import type { StoredKey } from '#ledger/writing/group-parameters.js';
import { Deadline } from '#platform/deadline.js';
import type { Pieces } from '#platform/turns.js';
import { deepFreeze, MemoryBook, START_MS } from './memory-book.js';

export const MERCHANT = 10n;
export const NEIGHBOUR = 11n;
export const CASH = 1n;
export const PAYABLE = 2n;
export const FEES = 3n;
const NO_TRACE = trace.wrapSpanContext({ traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 });

/** The tables of two merchants with the same three accounts; a group is locked, decided and written as the writer does it. */
export class Rows {
  readonly books = new Map([MERCHANT, NEIGHBOUR].map((id) => [id, new MemoryBook()]));
  readonly keys = new Map<string, StoredKey>();
  /** What every extension looks up. */
  readonly found: Record<string, unknown>[] = [];
  readonly clock = { nowMs: START_MS, now: () => this.clock.nowMs, monotonic: () => 0 };
  readonly lease = {
    workerId: 1,
    issuableFromMs: 0,
    untilMs: Number.MAX_SAFE_INTEGER,
    issuableUntilMs: () => this.lease.untilMs,
  };
  readonly ids = new SnowflakeGenerator(this.clock, this.lease);

  constructor() {
    for (const book of this.books.values()) {
      book.open({ id: CASH, code: 'cash:EUR', currency: 'EUR', normalSide: 'debit', minAvailable: null });
      book.open({ id: PAYABLE, code: 'payable:EUR', currency: 'EUR', normalSide: 'credit', minAvailable: 0n });
      book.open({ id: FEES, code: 'fees:EUR', currency: 'EUR', normalSide: 'credit', minAvailable: null });
    }
  }

  /** How often others may have had their turn. */
  turns = 0;

  work(group: Pieces<DecidedGroup>): DecidedGroup {
    for (;;) {
      const { done, value } = group.next();
      if (done) return value;
      this.turns += 1;
    }
  }

  book(merchantId: bigint): MemoryBook {
    const book = this.books.get(merchantId);
    if (!book) throw new Error(`no merchant ${merchantId}`);
    return book;
  }

  /** What the newest transaction of MERCHANT's account is. */
  lastOf(accountId: bigint, lastTransactionId: bigint): void {
    const { balances } = this.book(MERCHANT);
    balances.set(accountId, { ...(balances.get(accountId) as Balance), lastTransactionId });
  }

  submission(commands: readonly SubmittedCommand[], rest: Partial<Submission> = {}): Submission {
    const merchantId = rest.merchantId ?? MERCHANT;
    const book = this.book(merchantId);
    const parents = commands.flatMap((command) => {
      const parent = 'parentId' in command ? book.transactions.get(command.parentId) : undefined;
      return parent ? [[parent.id, parent] as const] : [];
    });
    return {
      merchantId,
      mode: commands.length === 1 ? 'single' : 'atomic',
      commands: deepFreeze(commands),
      idempotency: undefined,
      accounts: book.accounts,
      parents: new Map(parents),
      deadline: Deadline.after(1_000),
      span: NO_TRACE,
      ...rest,
    };
  }

  run(...submissions: Submission[]) {
    const { accounts, parents, keys, parts } = touchedBy(submissions);
    const present = <T>(row: T | undefined): T[] => (row === undefined ? [] : [row]);
    const { outcomes, writes } = this.work(
      decideGroup(
        submissions,
        {
          balances: accounts.flatMap(({ merchantId, id }) =>
            present(this.book(merchantId).balances.get(id)).map((balance) => ({
              merchantId,
              accountId: id,
              ...balance,
            })),
          ),
          states: parents.flatMap(({ merchantId, id }) =>
            present(this.book(merchantId).states.get(id)).map((state) => ({ merchantId, id, ...state })),
          ),
          keys: keys.flatMap(({ merchantId, key }) => present(this.keys.get(`${merchantId}:${key}`))),
          found: new Map([...parts.keys()].map((extension) => [extension, this.found])),
        },
        this.ids,
        this.ids.next(),
      ),
    );
    for (const { merchantId, transaction } of writes?.transactions ?? []) {
      this.book(merchantId).transactions.set(transaction.id, deepFreeze(transaction));
    }
    for (const { merchantId, accountId, balance } of writes?.balances ?? []) {
      this.book(merchantId).balances.set(accountId, deepFreeze({ ...balance }));
    }
    for (const { merchantId, transactionId, value } of writes?.states ?? []) {
      this.book(merchantId).states.set(transactionId, deepFreeze({ ...value }));
    }
    for (const key of writes?.keys ?? []) {
      const name = `${key.merchantId}:${key.key}`;
      if (this.keys.has(name)) throw new Error(`23505: the key ${name} is there already`);
      this.keys.set(name, key);
    }
    return { outcomes, writes };
  }
}
