import type { EventType, NewEvent } from '#outbox/event.js';
import type { Transaction, TransactionKind } from './transaction.js';

const TYPES: Record<TransactionKind, EventType> = {
  posted: 'transaction.posted',
  capture: 'transaction.posted',
  reversal: 'transaction.posted',
  pending: 'transaction.pending',
  void: 'transaction.voided',
  expiry: 'transaction.expired',
};

/**
 * The event of a transaction, version 1. Each entry says what it adds to its side's posted and pending totals, so that a
 * reader who folds the log has every balance. Built by hand: the ids and amounts are digits and need no escaping.
 */
export function transactionEvent(
  merchantId: bigint,
  transaction: Transaction,
  occurredAtMs: number,
  traceContext: string | undefined,
): NewEvent {
  const entries = transaction.entries.map(
    (entry) =>
      `{"account_id":"${entry.accountId}","account_version":"${entry.accountVersion}","direction":"${entry.direction}",` +
      `"currency":"${entry.currency}","posted":"${entry.posted}","pending":"${entry.pending}"}`,
  );
  const parent = transaction.parentId === undefined ? 'null' : `"${transaction.parentId}"`;
  const externalRef = transaction.externalRef === undefined ? 'null' : JSON.stringify(transaction.externalRef);
  const data =
    `{"transaction_id":"${transaction.id}","kind":"${transaction.kind}","type":${JSON.stringify(transaction.type)},` +
    `"amount":"${transaction.amount}","currency":"${transaction.currency}","parent_id":${parent},"external_ref":${externalRef},` +
    `"effective_at":"${new Date(transaction.effectiveAtMs).toISOString()}","entries":[${entries.join(',')}]}`;
  return { merchantId, type: TYPES[transaction.kind], version: 1, occurredAtMs, traceContext, data };
}

export function accountClosedEvent(
  merchantId: bigint,
  accountId: bigint,
  occurredAtMs: number,
  traceContext: string | undefined,
): NewEvent {
  const data = JSON.stringify({ account_id: String(accountId) });
  return { merchantId, type: 'account.closed', version: 1, occurredAtMs, traceContext, data };
}
