import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { eventRow, type ToldEvent } from '#outbox/log/append.js';
import { isSampled, linkOnce, traceparentOf } from '#platform/tracing.js';
import type { Balance } from '../accounts/account.js';
import type { Accepted, Book, Command, Decision, Refused } from '../posting/command.js';
import { decide } from '../posting/decide.js';
import type { TransactionState } from '../posting/transaction.js';
import { transactionEvent } from './events.js';
import type { Answered, GroupExtension, GroupTurn, Submission } from './group-extension.js';
import type { GroupWrites, StoredKey } from './group-parameters.js';
import type { LockedRows } from './group-store.js';
import { Journal } from './journal.js';

/** One merchant's rows as the group goes along. */
interface MerchantRows {
  readonly balances: Map<bigint, Balance>;
  readonly states: Map<bigint, TransactionState>;
}

/**
 * What a group has decided so far: the rows as they will be, for those who decide next, and what is to be written. Everything
 * in it goes through the journal and can be undone.
 */
export class GroupDraft {
  readonly #ids: SnowflakeGenerator;
  readonly #locked: LockedRows['balances'];
  readonly #journal = new Journal();
  readonly #merchants = new Map<bigint, MerchantRows>();
  readonly #stored: Map<string, StoredKey>;
  readonly #known = new Map<GroupExtension, Map<string, unknown>>();
  readonly #rows = new Map<GroupExtension, unknown[]>();
  readonly #writes: Omit<GroupWrites, 'token' | 'balances' | 'statements'> = {
    transactions: [],
    states: [],
    keys: [],
    events: [],
    timers: [],
  };

  constructor({ balances, keys, states, found }: LockedRows, ids: SnowflakeGenerator) {
    this.#ids = ids;
    this.#locked = balances;
    for (const balance of balances) this.#rowsOf(balance.merchantId).balances.set(balance.accountId, balance);
    for (const state of states) this.#rowsOf(state.merchantId).states.set(state.id, state);
    this.#stored = new Map(keys.map((key) => [nameOf(key.merchantId, key.key), key]));
    for (const [extension, rows] of found) {
      const known = rows.map((row) => extension.lookUp?.known(row)).filter((fact) => fact !== undefined);
      this.#known.set(extension, new Map(known.map(({ merchantId, key, value }) => [nameOf(merchantId, key), value])));
    }
  }

  /** Where `undo` goes back to. */
  get mark(): number {
    return this.#journal.length;
  }

  undo(mark: number): void {
    this.#journal.undo(mark);
  }

  storedKey(merchantId: bigint, key: string): StoredKey | undefined {
    return this.#stored.get(nameOf(merchantId, key));
  }

  /** A second request of this group with the key is a replay, too: two rows of one key would fail the whole group. */
  keep(key: StoredKey): void {
    this.#journal.set(this.#stored, nameOf(key.merchantId, key.key), key);
    this.#journal.push(this.#writes.keys, key);
  }

  post(submission: Submission, command: Command): Decision {
    const book = this.#bookOf(submission);
    const entries = touchedEntries(submission, command);
    const decision = decide(book, command, this.#ids.next(newestTransactionOf(entries, book)));
    if (decision.accepted) this.#apply(submission, decision);
    return decision;
  }

  /** All of it or, when the extension refuses, nothing. */
  extend(submission: Submission, extension: GroupExtension, part: unknown): Answered | Refused {
    const transactionIds: bigint[] = [];
    const turn = this.#turnOf(submission, extension, transactionIds);
    const { mark } = this;
    const result = extension.decide(part, turn);
    if (!('accepted' in result)) return { accepted: true, ...result, transactionIds };
    this.undo(mark);
    return result;
  }

  /** Undefined when nothing is to be written: every request was refused, or a replay. */
  writes(token: bigint): GroupWrites | undefined {
    const balances = this.#changedBalances();
    const statements = [...this.#rows].flatMap(([{ name, write }, rows]) => {
      if (rows.length === 0) return [];
      if (!write) throw new Error(`the extension ${name} has rows to write, and no statement`);
      return [{ text: write.text, values: write.values(rows) }];
    });
    const { keys, events, timers } = this.#writes;
    if (balances.length + statements.length + keys.length + events.length + timers.length === 0) return undefined;
    return { token, ...this.#writes, balances, statements };
  }

  /** Those that are no longer the ones that were locked. */
  #changedBalances(): GroupWrites['balances'] {
    return this.#locked.flatMap((locked) => {
      const { merchantId, accountId } = locked;
      const balance = this.#rowsOf(merchantId).balances.get(accountId);
      return balance === undefined || balance === locked ? [] : [{ merchantId, accountId, balance }];
    });
  }

  #bookOf({ merchantId, accounts, parents }: Submission): Book {
    const { balances, states } = this.#rowsOf(merchantId);
    return {
      account: (id) => accounts.get(id),
      balance: (id) => balances.get(id),
      parent: (id) => {
        const transaction = parents.get(id);
        return transaction && { transaction, state: states.get(id) };
      },
    };
  }

  #rowsOf(merchantId: bigint): MerchantRows {
    return entryOf(this.#merchants, merchantId, () => ({ balances: new Map(), states: new Map() }));
  }

  #apply(submission: Submission, { transaction, balances, states }: Accepted): void {
    const { merchantId } = submission;
    for (const [accountId, balance] of balances) this.#setBalance(merchantId, accountId, balance);
    for (const state of states) {
      this.#journal.set(this.#rowsOf(merchantId).states, state.transactionId, state.value);
      this.#journal.push(this.#writes.states, { merchantId, ...state });
    }
    this.#journal.push(this.#writes.transactions, { merchantId, transaction });
    this.#tell(submission, transactionEvent(transaction));
  }

  #tell({ merchantId, span }: Submission, event: ToldEvent): void {
    this.#journal.push(this.#writes.events, eventRow(merchantId, event, traceparentOf(span)));
  }

  #setBalance(merchantId: bigint, accountId: bigint, balance: Balance): void {
    const { balances } = this.#rowsOf(merchantId);
    this.#journal.set(balances, accountId, balance);
  }

  #turnOf(submission: Submission, extension: GroupExtension, transactionIds: bigint[]): GroupTurn {
    const { merchantId, span } = submission;
    const traceContext = traceparentOf(span);
    const known = entryOf(this.#known, extension, () => new Map<string, unknown>());
    const rows = entryOf(this.#rows, extension, () => [] as unknown[]);
    const { balance } = this.#bookOf(submission);
    return {
      merchantId,
      balance,
      known: (key) => known.get(nameOf(merchantId, key)),
      learn: (key, value) => this.#journal.set(known, nameOf(merchantId, key), value),
      post: (command) => {
        const decision = this.post(submission, command);
        if (decision.accepted) transactionIds.push(decision.transaction.id);
        return decision;
      },
      setClosed: (accountId, closed) => {
        const before = balance(accountId);
        if (before) this.#setBalance(merchantId, accountId, { ...before, closed });
      },
      write: (row) => this.#journal.push(rows, row),
      emit: (event) => this.#tell(submission, event),
      setTimer: (kind, subjectId, dueAtMs) =>
        this.#journal.push(this.#writes.timers, { merchantId, kind, subjectId, dueAtMs }),
      traceContext: isSampled(traceContext) ? traceContext : undefined,
      linkTo: (traceContexts) => linkOnce(span, traceContexts),
      nextId: (above = 0n) => this.#ids.next(above),
    };
  }
}

function nameOf(merchantId: bigint, key: string): string {
  return `${merchantId}:${key}`;
}

function entryOf<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}

type Touched = readonly { accountId: bigint }[];

/** What the command looks at, once for each entry. */
export function touchedEntries({ parents }: Submission, command: Command): Touched {
  return 'parentId' in command ? (parents.get(command.parentId)?.entries ?? []) : command.entries;
}

/** The id that the command's own must exceed, so that ids ascend along every account's versions. */
function newestTransactionOf(entries: Touched, book: Book): bigint {
  let newest = 0n;
  for (const { accountId } of entries) {
    const last = book.balance(accountId)?.lastTransactionId ?? 0n;
    if (last > newest) newest = last;
  }
  return newest;
}
