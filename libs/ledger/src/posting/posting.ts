import type { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Account } from '../accounts/account.js';
import type { AccountDirectory } from '../accounts/account-directory.js';
import { loadTransactions } from '../reading/transaction-store.js';
import { recalledRefusal } from '../writing/group.js';
import type { Answered, Outcome, Submission } from '../writing/group-extension.js';
import type { Decision, Refused } from './command.js';
import { initialState, type Transaction, type TransactionState } from './transaction.js';

/** What a submission's caller is told, of what was decided now or when its key was first used. */

/** A transaction with what it takes to show it. */
export interface Posting {
  transaction: Transaction;
  /** Where it stands, or stood when it was told. */
  state: TransactionState;
  accounts: ReadonlyMap<bigint, Account>;
}

export type PostingResult = { posting: Posting } | { refusal: Refused };

/** `replayed`: an earlier request with the same key was told the same. */
export interface PostingReply<Result = PostingResult> {
  result: Result;
  replayed: boolean;
}

export interface Submitted {
  submission: Submission;
  outcome: Outcome;
}

/** Where a key's transactions and their accounts are found. */
export interface Sources {
  database: Database;
  directory: AccountDirectory;
}

/** The reply to a request of one command. */
export async function replyTo(
  { submission, outcome }: Submitted,
  context: RequestContext,
  sources: Sources,
): Promise<PostingReply> {
  if (outcome.kind === 'key_reused') return { result: { refusal: outcome.refused }, replayed: false };
  if (outcome.kind === 'replayed') {
    const stored = outcome.transactionId ?? recalledRefusal(JSON.parse(outcome.response ?? ''));
    const [result] = await recall(context, sources, [stored]);
    if (!result) throw new Error(`idempotency key without its transaction ${outcome.transactionId}`);
    return { result, replayed: true };
  }
  const [decision] = outcome.decisions;
  if (!decision) throw new Error('the writer decided nothing');
  return { result: resultOf(submission, decision), replayed: false };
}

/** What the writer stored with a key, as it was told then: a transaction in the status that it was born with, or a refusal. */
export async function recall(
  context: RequestContext,
  { database, directory }: Sources,
  stored: readonly (bigint | Refused)[],
): Promise<PostingResult[]> {
  const ids = stored.filter((item) => typeof item === 'bigint');
  const found = ids.length === 0 ? [] : await loadTransactions(database, context.merchantId, ids, context.deadline);
  const transactions = new Map(found.map(({ transaction }) => [transaction.id, transaction]));
  const accounts = await directory.ofTransactions(context, [...transactions.values()]);
  return stored.map((item) => {
    if (typeof item !== 'bigint') return { refusal: item };
    const transaction = transactions.get(item);
    if (!transaction) throw new Error(`a key names transaction ${item}, which is not there`);
    return { posting: { transaction, state: initialState(transaction), accounts } };
  });
}

export function resultOf(submission: Submission, decision: Decision | Answered): PostingResult {
  if (!decision.accepted) return { refusal: decision };
  if (!('transaction' in decision)) throw new Error('answered, but no transaction');
  const { transaction } = decision;
  return { posting: { transaction, state: initialState(transaction), accounts: submission.accounts } };
}
