import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { ToldEvent } from '#outbox/log/append.js';
import type { EventData } from '#outbox/log/catalogue.js';
import type { Entry, Transaction } from '../posting/transaction.js';

/**
 * The event of a transaction. Each entry says what it adds to its side's posted and pending totals, so that a
 * reader who folds the log has every balance.
 */
export function transactionEvent(transaction: Transaction): ToldEvent {
  const { kind, ignoredFloor: ignored_floor } = transaction;
  const occurredAtMs = snowflakeTimeMs(transaction.id);
  const data = dataOf(transaction);
  switch (kind) {
    case 'posted':
    case 'capture':
    case 'reversal': {
      const parent_id = transaction.parentId === undefined ? null : String(transaction.parentId);
      return { occurredAtMs, type: 'transaction.posted', data: { ...data, kind, parent_id, ignored_floor } };
    }
    case 'pending': {
      const expires_at = transaction.expiresAtMs === undefined ? null : isoTime(transaction.expiresAtMs);
      return {
        occurredAtMs,
        type: 'transaction.pending',
        data: { ...data, kind, parent_id: null, expires_at, ignored_floor },
      };
    }
    case 'adjustment':
      return { occurredAtMs, type: 'transaction.adjusted', data: { ...data, kind, parent_id: null } };
    case 'void':
      return { occurredAtMs, type: 'transaction.voided', data: { ...data, kind, parent_id: parentOf(transaction) } };
    case 'expiry':
      return { occurredAtMs, type: 'transaction.expired', data: { ...data, kind, parent_id: parentOf(transaction) } };
  }
}

/** What the events of all kinds of transactions tell. */
function dataOf(transaction: Transaction) {
  const { id, type, amount, currency, externalRef, effectiveAtMs, metadata, entries } = transaction;
  return {
    transaction_id: String(id),
    type,
    amount: String(amount),
    currency,
    external_ref: externalRef ?? null,
    effective_at: isoTime(effectiveAtMs),
    metadata: metadata === undefined ? {} : (JSON.parse(metadata) as EventData<'transaction.adjusted'>['metadata']),
    entries: entries.map(entryOf),
  };
}

function entryOf({ accountId, accountVersion, direction, currency, posted, pending }: Entry) {
  return {
    account_id: String(accountId),
    account_version: String(accountVersion),
    direction,
    currency,
    posted: String(posted),
    pending: String(pending),
  };
}

function parentOf({ id, parentId }: Transaction): string {
  if (parentId === undefined) throw new Error(`transaction ${id} releases a hold and has no parent`);
  return String(parentId);
}
