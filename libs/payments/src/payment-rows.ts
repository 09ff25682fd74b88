import type { DisputeOutcome } from './disputes.js';
import type { DisputeStage, Fact } from './facts.js';
import type { MovementStatus } from './movement.js';
import type { FactOutcome } from './outcome.js';
import type { PaymentStatus } from './position.js';

/**
 * Rows of `payments` and `payment_facts` as they are read and written, as JSON that PostgreSQL makes rows of: ids and amounts as text,
 * times as ISO 8601.
 */

export interface MovementBody {
  object_ref: string | null;
  amount: string;
  status: MovementStatus;
}

export interface DisputeBody {
  object_ref: string | null;
  amount: string;
  stage: DisputeStage;
  outcome: DisputeOutcome;
  funds_withdrawn: string;
  funds_reinstated: string;
  fee: string;
}

/** What a payment consists of, as it is shown. */
export interface PaymentParts {
  captures: MovementBody[];
  refunds: MovementBody[];
  disputes: DisputeBody[];
  settlements: { object_ref: string | null; amount: string; fee: string }[];
  findings: { kind: string; detail: string }[];
}

/** What a payment is beside what follows from its facts. */
export interface PaymentAttributes {
  id: string;
  provider: string | null;
  provider_ref: string | null;
  /** Null: told by its provider alone. */
  capture: 'automatic' | 'manual' | null;
  description: string | null;
  metadata: Record<string, string | number | boolean> | null;
  expires_at: string | null;
}

export interface PaymentRow extends PaymentAttributes {
  merchant_id: string;
  subject: string;
  status: PaymentStatus;
  currency: string;
  amount: string;
  amount_authorised: string;
  amount_capturable: string;
  amount_captured: string;
  amount_refunded: string;
  amount_disputed: string;
  amount_settled: string;
  parts: PaymentParts;
  /** Ids, in the order in which they were posted. */
  transactions: string[];
  /** The newest time that one of them took effect at. */
  effective_until: string | null;
}

export interface FactRow {
  merchant_id: string;
  subject: string;
  fact_id: string;
  id: string;
  occurred_at: string;
  source: Fact['source'];
  event_id: string;
  type: Fact['type'];
  amount: string | null;
  currency: string | null;
  object_ref: string | null;
  more: {
    amount_kind: Fact['amountKind'];
    sequence?: number;
    fee?: string;
    stage?: Fact['stage'];
    reason?: string;
    final?: boolean;
  };
  /** `discarded`: an operator has taken it out of the set. */
  outcome: FactOutcome | 'discarded';
  reason: string | null;
  contradicts: boolean;
  /** It was applied, and then had to wait again: its event is in the log already. */
  applied_before: boolean;
  transaction_id: string | null;
  /** W3C traceparent of who told it, where it was sampled. */
  trace_context: string | null;
}

/** A time of JSON built by PostgreSQL, as clients are told it. */
const TIMES = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** A PaymentRow of the row `p`. Numbers as text: JSON.parse would round those above 2^53. */
export const PAYMENT_JSON = `json_build_object(
  'merchant_id', p.merchant_id::text, 'id', p.id::text, 'subject', p.subject, 'provider', p.provider, 'provider_ref', p.provider_ref,
  'capture', p.capture, 'description', p.description, 'metadata', p.metadata, 'expires_at', ${TIMES('p.expires_at')},
  'status', p.status, 'currency', p.currency, 'amount', p.amount::text, 'amount_authorised', p.amount_authorised::text,
  'amount_capturable', p.amount_capturable::text, 'amount_captured', p.amount_captured::text,
  'amount_refunded', p.amount_refunded::text, 'amount_disputed', p.amount_disputed::text, 'amount_settled', p.amount_settled::text,
  'parts', p.parts, 'transactions', p.transactions::text[], 'effective_until', ${TIMES('p.effective_until')})`;

/** A FactRow of the row `f`. */
export const FACT_JSON = `json_build_object(
  'merchant_id', f.merchant_id::text, 'subject', f.subject, 'fact_id', f.fact_id, 'id', f.id::text, 'occurred_at', ${TIMES('f.occurred_at')},
  'source', f.source, 'event_id', f.event_id, 'type', f.type, 'amount', f.amount::text, 'currency', f.currency,
  'object_ref', f.object_ref, 'more', f.more, 'outcome', f.outcome, 'reason', f.reason, 'contradicts', f.contradicts,
  'applied_before', f.applied_before, 'transaction_id', f.transaction_id::text, 'trace_context', f.trace_context)`;

export function factOf(row: FactRow): Fact {
  const { amount_kind: amountKind, sequence, fee, stage, reason, final } = row.more;
  return {
    id: row.fact_id,
    source: row.source,
    type: row.type,
    amountKind,
    occurredAtMs: Date.parse(row.occurred_at),
    ...(row.amount !== null && { amount: BigInt(row.amount) }),
    ...(row.currency !== null && { currency: row.currency }),
    ...(row.object_ref !== null && { objectRef: row.object_ref }),
    ...(sequence !== undefined && { sequence }),
    ...(fee !== undefined && { fee: BigInt(fee) }),
    ...(stage !== undefined && { stage }),
    ...(reason !== undefined && { reason }),
    ...(final !== undefined && { final }),
  };
}

/** What of a fact its row has in columns of their own or in `more`. */
export function factColumns(fact: Fact) {
  const { sequence, stage, reason, final } = fact;
  return {
    occurred_at: new Date(fact.occurredAtMs).toISOString(),
    source: fact.source,
    type: fact.type,
    amount: fact.amount === undefined ? null : String(fact.amount),
    currency: fact.currency ?? null,
    object_ref: fact.objectRef ?? null,
    more: {
      amount_kind: fact.amountKind,
      fee: fact.fee === undefined ? undefined : String(fact.fee),
      sequence,
      stage,
      reason,
      final,
    },
  };
}
