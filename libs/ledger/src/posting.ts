import type { Span } from '@opentelemetry/api';
import type { Idempotency } from '#platform/idempotency.js';
import type { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Account, Side } from './account.js';
import type { AccountDirectory, AccountRef } from './account-directory.js';
import type { Capture, Decision, EntryRequest, Post, Release, Reverse } from './command.js';
import { refusalOf } from './group.js';
import type { Answered } from './group-extension.js';
import type { Outcome, Refusal, Submission, SubmittedCommand } from './submission.js';
import { initialState, type Transaction, type TransactionState } from './transaction.js';
import { loadTransactions, reversedChain } from './transaction-store.js';
import type { Writer } from './writer.js';

/** A posting as a client asks for it: accounts by id or by code. */
export interface PostRequest extends Omit<Post, 'kind' | 'entries'> {
  entries: {
    account: AccountRef;
    direction: Side;
    amount: bigint;
    currency: string;
    conditions?: EntryRequest['conditions'];
  }[];
}

/** A transaction with what it takes to show it. */
export interface Posting {
  transaction: Transaction;
  /** Where it stands, or stood when it was told. */
  state: TransactionState;
  accounts: ReadonlyMap<bigint, Account>;
}

export type PostingResult = { posting: Posting } | { refusal: Refusal };

/** `replayed`: an earlier request with the same key was told the same. */
export interface PostingReply<Result = PostingResult> {
  result: Result;
  replayed: boolean;
}

/** What every money-moving command needs. */
export class PostingDesk {
  readonly #database: Database;
  readonly #directory: AccountDirectory;
  readonly #writer: Writer;

  constructor(database: Database, directory: AccountDirectory, writer: Writer) {
    this.#database = database;
    this.#directory = directory;
    this.#writer = writer;
  }

  /** Accounts that do not exist stay out of `accounts`; `decide` refuses their commands, each for itself. */
  async resolve(
    context: RequestContext,
    requests: readonly PostRequest[],
  ): Promise<{ commands: Post[]; accounts: Map<bigint, Account> }> {
    const refs = requests.flatMap((request) => request.entries.map((entry) => entry.account));
    const found = await this.#directory.find(context.merchantId, refs, context.deadline);
    const accounts = new Map<bigint, Account>();
    for (const account of found) if (account) accounts.set(account.id, account);
    let next = 0;
    const commands = requests.map((request): Post => {
      const entries = request.entries.map(({ account, ...entry }): EntryRequest => {
        const accountId = found[next++]?.id ?? ('id' in account ? account.id : 0n);
        return { accountId, ...entry };
      });
      return { ...request, kind: 'post', entries };
    });
    return { commands, accounts };
  }

  /**
   * The transaction that a command refers to and the accounts of its entries; before it, where it is a reversal that is to be
   * reversed, all that it goes back to. Undefined: no such transaction.
   */
  async parent(
    context: RequestContext,
    { kind, parentId }: Capture | Release | Reverse,
  ): Promise<{ parents: Map<bigint, Transaction>; accounts: Map<bigint, Account> } | undefined> {
    const load = async (ids: readonly bigint[]): Promise<Transaction[]> => {
      const stored = await loadTransactions(this.#database, context.merchantId, ids, context.deadline);
      return stored.map(({ transaction }) => transaction);
    };
    const [parent] = await load([parentId]);
    if (!parent) return undefined;
    const isOfReversal = kind === 'reverse' && parent.kind === 'reversal';
    const chain = isOfReversal
      ? await load(await reversedChain(this.#database, context.merchantId, parentId, context.deadline))
      : [parent];
    const parents = new Map(chain.map((transaction) => [transaction.id, transaction]));
    return { parents, accounts: await this.accountsOf(context, [parent]) };
  }

  async accountsOf(context: RequestContext, transactions: readonly Transaction[]): Promise<Map<bigint, Account>> {
    const ids = new Set(transactions.flatMap((transaction) => transaction.entries.map((entry) => entry.accountId)));
    const found = await this.#directory.find(
      context.merchantId,
      [...ids].map((id) => ({ id })),
      context.deadline,
    );
    return new Map(found.flatMap((account) => (account ? [[account.id, account] as const] : [])));
  }

  async hasAccount(context: RequestContext, id: bigint): Promise<boolean> {
    const [account] = await this.#directory.find(context.merchantId, [{ id }], context.deadline);
    return account !== undefined;
  }

  /** Hands commands to the writer. */
  async submit(
    context: RequestContext,
    request: {
      mode: Submission['mode'];
      commands: readonly SubmittedCommand[];
      accounts: ReadonlyMap<bigint, Account>;
      parents?: ReadonlyMap<bigint, Transaction>;
      idempotency: Idempotency | undefined;
    },
  ): Promise<{ submission: Submission; outcome: Outcome }> {
    const { merchantId, deadline, span } = context;
    const submission: Submission = { merchantId, deadline, span, parents: new Map(), ...request };
    const outcome = await this.#writer.submit(submission);
    if (span.isRecording()) nameOn(span, outcome);
    return { submission, outcome };
  }

  /** The reply to a request of one command. */
  async replyTo(
    { submission, outcome }: { submission: Submission; outcome: Outcome },
    context: RequestContext,
  ): Promise<PostingReply> {
    if (outcome.kind === 'key_reused') return { result: { refusal: keyReused(submission) }, replayed: false };
    if (outcome.kind === 'replayed') {
      const [result] = await this.recall(context, [outcome.transactionId ?? JSON.parse(outcome.response ?? '')]);
      if (!result) throw new Error(`idempotency key without its transaction ${outcome.transactionId}`);
      return { result, replayed: true };
    }
    const [decision] = outcome.decisions;
    if (!decision) throw new Error('the writer decided nothing');
    return { result: resultOf(submission, decision), replayed: false };
  }

  /** What the writer stored with a key, as it was told then: a transaction in the status that it was born with, or a refusal. */
  async recall(context: RequestContext, stored: readonly (bigint | Refusal)[]): Promise<PostingResult[]> {
    const ids = stored.filter((item) => typeof item === 'bigint');
    const found =
      ids.length === 0 ? [] : await loadTransactions(this.#database, context.merchantId, ids, context.deadline);
    const transactions = new Map(found.map(({ transaction }) => [transaction.id, transaction]));
    const accounts = await this.accountsOf(context, [...transactions.values()]);
    return stored.map((item) => {
      if (typeof item !== 'bigint') return { refusal: item };
      const transaction = transactions.get(item);
      if (!transaction) throw new Error(`a key names transaction ${item}, which is not there`);
      return { posting: { transaction, state: initialState(transaction), accounts } };
    });
  }
}

/** With a transaction's id on its command's span, its trace is one search away. */
function nameOn(span: Span, outcome: Outcome): void {
  const ids = transactionIdsOf(outcome);
  if (ids.length > 0) span.setAttribute('counterfoil.transaction_id', ids);
}

function transactionIdsOf(outcome: Outcome): string[] {
  if (outcome.kind === 'replayed') return outcome.transactionId === null ? [] : [String(outcome.transactionId)];
  if (outcome.kind !== 'decided') return [];
  return outcome.decisions.flatMap((decision) => {
    if (!decision.accepted) return [];
    return ('transaction' in decision ? [decision.transaction.id] : decision.transactionIds).map(String);
  });
}

export function resultOf(submission: Submission, decision: Decision | Answered): PostingResult {
  if (!decision.accepted) return { refusal: refusalOf(decision, submission) };
  if (!('transaction' in decision)) throw new Error('answered, but no transaction');
  const { transaction } = decision;
  return { posting: { transaction, state: initialState(transaction), accounts: submission.accounts } };
}

export function keyReused(submission: Submission): Refusal {
  const refused = {
    accepted: false as const,
    code: 'idempotency_key_reused' as const,
    detail: 'This Idempotency-Key was first sent with another request.',
    errors: undefined,
  };
  return refusalOf(refused, submission);
}
