import type { ToldEvent } from '#outbox/log/append.js';
import type { BreakRow, Resolution } from './break-row.js';
import type { ENDED_STATUSES } from './break-status.js';

/** A break that came to its end. */
export function breakResolved(
  row: BreakRow & { resolution: Resolution; status: (typeof ENDED_STATUSES)[number] },
): ToldEvent {
  const { id, reconciliation_id, kind, reference, object_ref, difference, currency, status, resolution } = row;
  const { by, approved_by, transaction_id, reason } = resolution;
  const found = { break_id: id, reconciliation_id, kind, reference, object_ref, difference, currency };
  const data = { ...found, status, by, approved_by, transaction_id, reason };
  return { type: 'break.resolved', data, occurredAtMs: Date.parse(resolution.at) };
}
