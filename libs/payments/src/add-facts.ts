import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Accepted, Refused } from '#ledger/posting/command.js';
import type { Addition, NewFact, PaymentTurn } from './addition.js';
import type { Fact } from './facts.js';
import { isMember, type KnownPayment, type StoredFact } from './known-payment.js';
import { learn } from './learn.js';
import { outcomeOf } from './outcome.js';
import { paymentEvent } from './payment-events.js';
import { type FactRow, factColumns, type PaymentRow } from './payment-rows.js';
import type { Position } from './position.js';
import { postDifference } from './posted-difference.js';
import { shownOf } from './shown.js';
import { resolveLetters } from './timers/parked-letters.js';

/** Earlier traces of a payment that one of its steps links to. */
const LINKS = 10;

export interface Added {
  readonly known: KnownPayment;
  /** Undefined: nothing differs. */
  readonly posted: Accepted | undefined;
}

/** Adds facts to what is known, with all that follows: a transaction of what differs, rows, events. Throws NeedsAccounts. */
export function addFacts(addition: Addition, turn: PaymentTurn): Added | Refused {
  const { known, added, options } = addition;
  turn.linkTo(tracesOf(known));
  const before = known.position(options);
  const after = known.with(added.map(({ fact }) => fact)).position(options);
  const paymentId = idOf(addition, after, turn);
  const posted = postDifference(addition, [before, after], paymentId, turn);
  if (posted?.accepted === false) return posted;
  const changed = changedFacts(addition, [before, after], posted?.transaction.id, turn);
  const facts = new Map(known.facts);
  for (const stored of changed) facts.set(stored.row.fact_id, stored);
  const row =
    paymentId === undefined
      ? undefined
      : rowOf(addition, { id: paymentId, after, facts, posted: posted?.transaction }, turn);
  for (const { row: fact } of changed) {
    turn.write({ table: 'payment_facts', isNew: !known.facts.has(fact.fact_id), row: fact });
    if (row && fact.outcome === 'applied' && !fact.applied_before)
      turn.emit(paymentEvent(row, fact, snowflakeTimeMs(turn.nextId())));
  }
  resolveLetters(known, changed, turn);
  return { known: learn(addition, known.next(row, facts, after), turn), posted };
}

/** Keeps what contradicts a fact beside the set: the payment's findings tell of it. */
export function addContradiction(addition: Addition, contradiction: StoredFact, turn: PaymentTurn): KnownPayment {
  const { known, options } = addition;
  const facts = new Map(known.facts).set(contradiction.row.fact_id, contradiction);
  const standing = known.position(options);
  turn.write({ table: 'payment_facts', isNew: true, row: contradiction.row });
  const row = known.row && { ...known.row, ...shownOf(standing, facts) };
  return learn(addition, known.next(row, facts, standing), turn);
}

/** Of what was told before, in whatever order it happened. */
function tracesOf({ facts }: KnownPayment): string[] {
  return [...facts.values()].flatMap(({ row }) => row.trace_context ?? []).slice(-LINKS);
}

/** A new fact's row, but for what came of it. */
export function newRow({ subject }: Addition, { id, eventId, fact }: NewFact, turn: PaymentTurn) {
  return {
    merchant_id: String(turn.merchantId),
    subject,
    fact_id: fact.id,
    id: String(id),
    event_id: eventId,
    ...factColumns(fact),
    contradicts: false,
    applied_before: false,
    transaction_id: null,
    trace_context: turn.traceContext ?? null,
  };
}

function idOf({ known, attributes }: Addition, after: Position, turn: PaymentTurn): bigint | undefined {
  const id = known.row?.id ?? attributes.id;
  if (!after.exists) return undefined;
  return id === undefined ? turn.nextId() : BigInt(id);
}

/** The new facts, and those of which something else has come. */
function changedFacts(
  addition: Addition,
  [before, after]: readonly [Position, Position],
  transactionId: bigint | undefined,
  turn: PaymentTurn,
): StoredFact[] {
  const come = (fact: Fact, row: Omit<FactRow, 'outcome' | 'reason'>, outcome: FactRow['outcome']): StoredFact => {
    const transaction_id = outcome === 'applied' && transactionId ? String(transactionId) : row.transaction_id;
    return { fact, row: { ...row, outcome, reason: reasonOf(outcome, fact, after), transaction_id } };
  };
  const told = addition.added.map((one) =>
    come(one.fact, newRow(addition, one, turn), outcomeOf(before, after, one.fact)),
  );
  const waiting = { parked: new Set(after.parked), rejected: new Set(after.rejected) };
  const others = [...addition.known.facts.values()].flatMap(({ row, fact }) => {
    const outcome = isMember(row) ? outcomeNow(row, waiting) : row.outcome;
    const applied_before = row.applied_before || row.outcome === 'applied';
    return outcome === row.outcome ? [] : [come(fact, { ...row, applied_before }, outcome)];
  });
  return [...told, ...others];
}

function reasonOf(outcome: FactRow['outcome'], { currency }: Fact, after: Position): string | null {
  return outcome === 'rejected' ? `It is in ${currency}, the payment in ${after.currency}.` : null;
}

/** What waited and waits no longer is applied; what was applied may have to wait again, as a refund whose capture failed. */
function outcomeNow(
  { fact_id, outcome }: FactRow,
  waiting: { parked: Set<string>; rejected: Set<string> },
): FactRow['outcome'] {
  if (waiting.rejected.has(fact_id)) return 'rejected';
  if (waiting.parked.has(fact_id)) return 'parked';
  return outcome === 'parked' || outcome === 'rejected' ? 'applied' : outcome;
}

function rowOf(
  { known, subject, attributes }: Addition,
  now: {
    id: bigint;
    after: Position;
    facts: ReadonlyMap<string, StoredFact>;
    posted: Accepted['transaction'] | undefined;
  },
  turn: PaymentTurn,
): PaymentRow {
  const before = known.row;
  const { id, after, facts, posted } = now;
  return {
    provider: null,
    provider_ref: null,
    capture: null,
    description: null,
    metadata: null,
    expires_at: null,
    ...before,
    ...attributes,
    id: String(id),
    merchant_id: String(turn.merchantId),
    subject,
    ...shownOf(after, facts),
    transactions: [...(before?.transactions ?? []), ...(posted ? [String(posted.id)] : [])],
    effective_until: later(before?.effective_until, posted && isoTime(posted.effectiveAtMs)),
  };
}

/** Of times as ISO 8601 writes them in UTC. */
function later(one: string | null | undefined, other: string | undefined): string | null {
  if (!one || !other) return one ?? other ?? null;
  return one > other ? one : other;
}
