import { currentVersion, type EventType } from '#outbox/catalogue.js';
import type { NewEvent } from '#outbox/event.js';
import type { Transaction, TransactionKind } from './transaction.js';

const TYPES: Record<TransactionKind, EventType> = {
  posted: 'transaction.posted',
  capture: 'transaction.posted',
  reversal: 'transaction.posted',
  pending: 'transaction.pending',
  void: 'transaction.voided',
  expiry: 'transaction.expired',
};

/** The types of what a floor can stand in the way of. */
const FLOORS: ReadonlySet<EventType> = new Set(['transaction.posted', 'transaction.pending']);

/**
 * The event of a transaction. Each entry says what it adds to its side's posted and pending totals, so that a
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
  const type = TYPES[transaction.kind];
  const floor = FLOORS.has(type) ? `"ignored_floor":${transaction.ignoredFloor},` : '';
  const expiry = transaction.kind === 'pending' ? `"expires_at":${jsonTime(transaction.expiresAtMs)},` : '';
  const data =
    `{"transaction_id":"${transaction.id}","kind":"${transaction.kind}","type":${JSON.stringify(transaction.type)},` +
    `"amount":"${transaction.amount}","currency":"${transaction.currency}","parent_id":${parent},"external_ref":${externalRef},` +
    `"effective_at":"${new Date(transaction.effectiveAtMs).toISOString()}",${expiry}${floor}"metadata":${transaction.metadata ?? '{}'},"entries":[${entries.join(',')}]}`;
  return { merchantId, type, version: currentVersion(type), occurredAtMs, traceContext, data };
}

function jsonTime(ms: number | undefined): string {
  return ms === undefined ? 'null' : `"${new Date(ms).toISOString()}"`;
}
