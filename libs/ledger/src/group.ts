import { PROBLEMS } from '#kernel/problem.js';
import { type SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Idempotency } from '#platform/idempotency.js';
import { traceIdOf, traceparentOf } from '#platform/tracing.js';
import type { Account, Balance } from './account.js';
import type { Accepted, Book, Command, Decision, Parent, Refused } from './command.js';
import { decide } from './decide.js';
import { accountStatusEvent, transactionEvent } from './events.js';
import type { GroupWrites, StoredKey } from './group-parameters.js';
import type { LockedBalance, StoredState, TenantId } from './group-store.js';
import type { Outcome, Refusal, Submission } from './submission.js';
import type { TransactionState } from './transaction.js';
import { type Pieces, Turn } from './turns.js';

/**
 * What one commit group decides, in memory: rows locked in, rows to write out. Command by command; a refusal touches nobody
 * else's. Has no database and no clock of its own.
 */

/** Refusals that do not burn an idempotency key: the same request may succeed once the client or the book has changed. */
const NOT_STORED = new Set(['validation_failed', 'forbidden', 'not_found']);

/** The rows that a group has to lock and look up, in the one order that every group uses. */
export function touchedBy(submissions: readonly Submission[]): {
  merchantIds: bigint[];
  accounts: TenantId[];
  parents: TenantId[];
  keys: { merchantId: bigint; key: string }[];
} {
  const accounts = new Map<bigint, Set<bigint>>();
  const parents = new Map<bigint, Set<bigint>>();
  const keys: { merchantId: bigint; key: string }[] = [];
  for (const { merchantId, idempotency, ...submission } of submissions) {
    addAll(accounts, merchantId, submission.accounts.keys());
    addAll(parents, merchantId, submission.parents.keys());
    if (idempotency) keys.push({ merchantId, key: idempotency.key });
  }
  return {
    merchantIds: [...accounts.keys()].sort(compare),
    accounts: sorted(accounts),
    parents: sorted(parents),
    keys,
  };
}

function addAll(into: Map<bigint, Set<bigint>>, merchantId: bigint, ids: Iterable<bigint>): void {
  let set = into.get(merchantId);
  if (!set) {
    set = new Set();
    into.set(merchantId, set);
  }
  for (const id of ids) set.add(id);
}

function sorted(rows: Map<bigint, Set<bigint>>): TenantId[] {
  return [...rows]
    .sort(([a], [b]) => compare(a, b))
    .flatMap(([merchantId, ids]) => [...ids].sort(compare).map((id) => ({ merchantId, id })));
}

/** Of ids that differ: they are keys of maps and members of sets. */
function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : 1;
}

export interface DecidedGroup {
  outcomes: Outcome[];
  /** Undefined when nothing is to be written: every request was a replay. */
  writes: GroupWrites | undefined;
}

/** Decides every submission against the locked rows. Throws SnowflakeRefused when no id can be issued. A long one gives way to others. */
export function* decideGroup(
  submissions: readonly Submission[],
  locked: { balances: LockedBalance[]; keys: StoredKey[]; states: StoredState[] },
  ids: SnowflakeGenerator,
  token: bigint,
): Pieces<DecidedGroup> {
  const books = new Map<bigint, GroupBook>();
  const bookOf = (merchantId: bigint): GroupBook => {
    let book = books.get(merchantId);
    if (!book) {
      book = new GroupBook();
      books.set(merchantId, book);
    }
    return book;
  };
  for (const balance of locked.balances) bookOf(balance.merchantId).balances.set(balance.accountId, balance);
  for (const state of locked.states) bookOf(state.merchantId).states.set(state.id, state);
  const stored = new Map(locked.keys.map((key) => [`${key.merchantId}:${key.key}`, key]));

  const writes: GroupWrites = { token, transactions: [], balances: [], states: [], keys: [], events: [] };
  const changed = new Map<string, GroupWrites['balances'][number]>();
  const turn = new Turn();
  const outcomes: Outcome[] = [];
  for (const submission of submissions) {
    const { merchantId, idempotency } = submission;
    const known = idempotency && stored.get(`${merchantId}:${idempotency.key}`);
    if (known) {
      outcomes.push(replay(submission, known));
      continue;
    }
    const book = bookOf(merchantId).with(submission);
    const decisions = yield* decideAll(submission, book, ids, turn);
    for (const decision of decisions) {
      if (!decision.accepted) continue;
      collect(writes, changed, submission, decision, ids);
      if (turn.isOverAfter(decision.transaction?.entries.length ?? 0)) yield;
    }
    const kept = idempotency && keyOf(submission, idempotency, decisions);
    if (kept) {
      writes.keys.push(kept);
      // A second request of this group with the key is a replay, too: two rows of one key would fail the whole group.
      stored.set(`${merchantId}:${kept.key}`, kept);
    }
    outcomes.push({ kind: 'decided', decisions });
  }
  writes.balances = [...changed.values()];
  if (writes.balances.length === 0 && writes.keys.length === 0) return { outcomes, writes: undefined };
  return { outcomes, writes };
}

/** Balances, states and facts of one merchant as the group goes along. */
class GroupBook implements Book {
  readonly balances = new Map<bigint, Balance>();
  readonly states = new Map<bigint, TransactionState>();
  #submission: Submission | undefined;

  with(submission: Submission): this {
    this.#submission = submission;
    return this;
  }

  account(id: bigint): Account | undefined {
    return this.#submission?.accounts.get(id);
  }

  balance(id: bigint): Balance | undefined {
    return this.balances.get(id);
  }

  parent(id: bigint): Parent | undefined {
    const transaction = this.#submission?.parents.get(id);
    return transaction && { transaction, state: this.states.get(id) };
  }

  apply(decision: Accepted): void {
    for (const [id, balance] of decision.balances) this.balances.set(id, balance);
    for (const state of decision.states) this.states.set(state.transactionId, state.value);
  }
}

function* decideAll(submission: Submission, book: GroupBook, ids: SnowflakeGenerator, turn: Turn): Pieces<Decision[]> {
  const { commands, mode } = submission;
  const undo = mode === 'atomic' ? { balances: new Map(book.balances), states: new Map(book.states) } : undefined;
  const decisions: Decision[] = [];
  for (const [index, command] of commands.entries()) {
    const entries = entriesOf(submission, command);
    if (turn.isOverAfter(entries.length)) yield;
    const decision = decide(book, command, ids.next(newestTransactionOf(entries, book)));
    if (decision.accepted) {
      book.apply(decision);
      decisions.push(decision);
      continue;
    }
    if (!undo) {
      decisions.push(decision);
      continue;
    }
    restore(book.balances, undo.balances);
    restore(book.states, undo.states);
    return [failedAt(decision, index)];
  }
  return decisions;
}

function restore<K, V>(target: Map<K, V>, before: ReadonlyMap<K, V>): void {
  target.clear();
  for (const [key, value] of before) target.set(key, value);
}

/** An atomic batch answers with its first failing problem, `errors[0].path` naming the transaction. */
function failedAt(refused: Refused, index: number): Refused {
  const path = `transactions.${index}`;
  const inner = (refused.errors ?? []).map((error) => ({ ...error, path: `${path}.${error.path}` }));
  return { ...refused, errors: [{ path, message: refused.detail }, ...inner] };
}

/** The id that the command's own must exceed, so that ids ascend along every account's versions. */
function newestTransactionOf(entries: Touching, book: Book): bigint {
  let newest = 0n;
  for (const { accountId } of entries) {
    const last = book.balance(accountId)?.lastTransactionId ?? 0n;
    if (last > newest) newest = last;
  }
  return newest;
}

type Touching = readonly { accountId: bigint }[];

/** What the command looks at, once for each entry. */
function entriesOf(submission: Submission, command: Command): Touching {
  if (command.kind === 'post') return command.entries;
  if (command.kind === 'close' || command.kind === 'reopen') return [command];
  if (command.kind === 'malformed') return [];
  return submission.parents.get(command.parentId)?.entries ?? [];
}

function collect(
  writes: GroupWrites,
  changed: Map<string, GroupWrites['balances'][number]>,
  submission: Submission,
  decision: Accepted,
  ids: SnowflakeGenerator,
): void {
  const { merchantId, span } = submission;
  const traceContext = traceparentOf(span);
  for (const [accountId, balance] of decision.balances)
    changed.set(`${merchantId}:${accountId}`, { merchantId, accountId, balance });
  const { transaction, states } = decision;
  for (const state of states) writes.states.push({ merchantId, ...state });
  if (transaction) {
    writes.transactions.push({ merchantId, transaction });
    writes.events.push(transactionEvent(merchantId, transaction, snowflakeTimeMs(transaction.id), traceContext));
  } else {
    for (const [accountId, { closed }] of decision.balances) {
      const type = closed ? 'account.closed' : 'account.reopened';
      writes.events.push(accountStatusEvent(type, merchantId, accountId, snowflakeTimeMs(ids.next()), traceContext));
    }
  }
}

/** The row that answers the next request with the key; undefined where the key is not burnt. */
function keyOf(
  submission: Submission,
  { keepsRefusals, ...idempotency }: Idempotency,
  decisions: readonly Decision[],
): StoredKey | undefined {
  const key = { merchantId: submission.merchantId, ...idempotency };
  const [first] = decisions;
  if (!first) throw new Error('a submission without commands');
  if (submission.mode !== 'independent' && !first.accepted) {
    if (keepsRefusals === false || NOT_STORED.has(first.code)) return undefined;
    const response = JSON.stringify(refusalOf(first, submission));
    return { ...key, status: PROBLEMS[first.code].status, transactionId: null, response };
  }
  if (submission.mode === 'single') {
    if (!first.accepted) throw new Error('a refusal that was not kept');
    // An account that was closed: everything else about it never changes, and can be shown from its row.
    if (!first.transaction) return { ...key, status: 200, transactionId: null, response: '{}' };
    return { ...key, status: 201, transactionId: first.transaction.id, response: null };
  }
  const results = decisions.map((decision) =>
    decision.accepted ? String(decision.transaction?.id) : refusalOf(decision, submission),
  );
  return { ...key, status: 200, transactionId: null, response: JSON.stringify(results) };
}

export function refusalOf(refused: Refused, submission: Submission): Refusal {
  const traceId = traceIdOf(submission.span);
  return {
    code: refused.code,
    detail: refused.detail,
    ...(refused.errors && { errors: refused.errors }),
    ...(traceId && { trace_id: traceId }),
  };
}

function replay(submission: Submission, stored: StoredKey): Outcome {
  if (!submission.idempotency?.requestSha256.equals(stored.requestSha256)) return { kind: 'key_reused' };
  return { kind: 'replayed', status: stored.status, transactionId: stored.transactionId, response: stored.response };
}
