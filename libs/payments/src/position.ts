import { type Holdings, holdingsOf, NO_HOLDINGS } from './accounts.js';
import { authorisationOf, type Closing, closingOf, isRefused } from './authorisation.js';
import { type DisputeOutcome, type DisputeSums, type Disputes, disputesOf, fitDisputes } from './disputes.js';
import type { DisputeStage, Fact, FactType } from './facts.js';
import { type Finding, findingsOf } from './findings.js';
import { byOwnAccount, type Known, knownOf } from './known.js';
import { type Movement, type MovementStatus, statusOf } from './movement.js';
import { fit, type Movements, movementsOf } from './movements.js';

export type PaymentStatus =
  | 'authorised'
  | 'failed'
  | 'voided'
  | 'expired'
  | 'partially_captured'
  | 'captured'
  | 'partially_refunded'
  | 'refunded';

export interface MovementState {
  readonly objectRef: string | null;
  readonly amount: bigint;
  readonly status: MovementStatus;
}

export interface DisputeState {
  readonly objectRef: string | null;
  readonly amount: bigint;
  readonly stage: DisputeStage;
  readonly outcome: DisputeOutcome;
  readonly fundsWithdrawn: bigint;
  readonly fundsReinstated: bigint;
  readonly fee: bigint;
}

export interface SettlementState {
  readonly objectRef: string | null;
  readonly amount: bigint;
  readonly fee: bigint;
}

/** All that a payment is, in minor units of its currency. */
interface Amounts extends Holdings {
  /** Of the fact that the payment began with. */
  readonly amount: bigint;
  readonly amountAuthorised: bigint;
  /** What is still held. */
  readonly amountCapturable: bigint;
  readonly amountCaptured: bigint;
  readonly amountRefunded: bigint;
  /** Of disputes that are open or lost; an inquiry disputes nothing yet. */
  readonly amountDisputed: bigint;
  readonly amountSettled: bigint;
  readonly captures: readonly MovementState[];
  readonly refunds: readonly MovementState[];
  readonly disputes: readonly DisputeState[];
  readonly settlements: readonly SettlementState[];
  readonly findings: readonly Finding[];
  /** Ids of facts that wait for their cause, in the order of what they say of themselves. */
  readonly parked: readonly string[];
  /** Ids of facts that can never be placed. */
  readonly rejected: readonly string[];
}

export type Position =
  | (Amounts & { readonly exists: true; readonly currency: string; readonly status: PaymentStatus })
  | (Amounts & { readonly exists: false; readonly currency: null; readonly status: null });

export interface PositionOptions {
  /** How much more than the authorised amount may be captured, in percent of it. */
  readonly overcapturePercent: number;
}

/** A pure, total function of the set of facts: neither the order of arrival nor duplicates nor batches mean anything to it. */
export function position(given: Iterable<Fact>, { overcapturePercent }: PositionOptions): Position {
  const known = knownOf(given);
  const { founding } = known;
  if (founding === undefined) return unfounded(known);
  const kinds = byKind(known.facts);
  const captures = movementsOf(kinds.captures, 'captured');
  const authorisation = authorisationOf(kinds.authorisations);
  const isFailed = isRefused(authorisation, captures.all);
  if (isFailed) refuseClaims(captures.all, authorisation.refusal);
  const authorised = isFailed ? 0n : (authorisation.amount ?? 0n);
  const captured = place(captures, authorised, false);
  const refunded = place(movementsOf(kinds.refunds, 'refunded'), captured.sum, true);
  const settled = place(movementsOf(kinds.settlements, 'settled'), captured.sum, false);
  const disputed = placeDisputes(disputesOf(kinds.disputes), captured.sum);
  const closing = closingOf(kinds.closings, captured.placed);
  const held = closing.isClosed || captured.sum >= authorised ? 0n : authorised - captured.sum;
  const sums = { held, captured: captured.sum, refunded: refunded.sum, settled: settled.sum, disputed: disputed.sum };
  const isAuthorised = !isFailed && authorisation.amount !== undefined;
  return {
    exists: true,
    currency: founding.currency,
    amount: founding.amount,
    status: statusFrom(sums, isAuthorised, closing),
    amountAuthorised: authorised,
    amountCapturable: held,
    amountCaptured: captured.sum,
    amountRefunded: refunded.sum,
    amountDisputed: disputed.sum,
    amountSettled: settled.sum,
    captures: captured.placed.map(toState),
    refunds: refunded.placed.map(toState),
    disputes: disputed.placed.map(toDisputeState),
    settlements: settled.placed.map(({ objectRef, amount = 0n, fee }) => ({ objectRef, amount, fee })),
    findings: findingsOf(
      {
        known,
        currency: founding.currency,
        authorisation,
        closing,
        ...sums,
        captures: captured.placed,
        disputes: disputed.placed,
      },
      overcapturePercent,
    ),
    ...holdingsOf({
      ...sums,
      settlementFees: total(settled.placed, feeOf),
      atProcessor: total(disputed.placed, ({ atProcessor }) => atProcessor),
      disputeFees: total(disputed.placed, feeOf),
    }),
    parked: idsOf([captured, refunded, settled, disputed].flatMap(({ parked }) => parked)),
    rejected: known.foreign,
  };
}

function unfounded({ facts, contradictory }: Known): Position {
  const detail = `Told with more than one content: ${contradictory.join(', ')}.`;
  return {
    exists: false,
    currency: null,
    status: null,
    amount: 0n,
    amountAuthorised: 0n,
    amountCapturable: 0n,
    amountCaptured: 0n,
    amountRefunded: 0n,
    amountDisputed: 0n,
    amountSettled: 0n,
    captures: [],
    refunds: [],
    disputes: [],
    settlements: [],
    findings: contradictory.length > 0 ? [{ kind: 'contradictory_event', detail }] : [],
    ...NO_HOLDINGS,
    parked: facts.map(({ id }) => id),
    rejected: [],
  };
}

type Kind = 'authorisations' | 'captures' | 'closings' | 'refunds' | 'disputes' | 'settlements';

const KINDS: Readonly<Record<FactType, Kind>> = {
  authorised: 'authorisations',
  authorisation_adjusted: 'authorisations',
  authorisation_failed: 'authorisations',
  captured: 'captures',
  capture_failed: 'captures',
  voided: 'closings',
  expired: 'closings',
  refunded: 'refunds',
  refund_failed: 'refunds',
  refund_reversed: 'refunds',
  dispute_opened: 'disputes',
  dispute_funds_withdrawn: 'disputes',
  dispute_funds_reinstated: 'disputes',
  dispute_won: 'disputes',
  dispute_lost: 'disputes',
  dispute_fee: 'disputes',
  settled: 'settlements',
};

function byKind(facts: readonly Fact[]): Record<Kind, Fact[]> {
  const kinds = { authorisations: [], captures: [], closings: [], refunds: [], disputes: [], settlements: [] };
  for (const fact of facts) (kinds as Record<Kind, Fact[]>)[KINDS[fact.type]].push(fact);
  return kinds;
}

/** Whatever the merchant's requests claim of a payment that was refused did not happen. */
function refuseClaims(captures: readonly Movement[], refusal: Fact | undefined): void {
  for (const capture of captures) if (!capture.told) capture.failure ??= refusal;
}

/** What counts, what it comes to, and which facts wait. */
interface Placed<T> {
  readonly placed: readonly T[];
  readonly sum: bigint;
  readonly parked: readonly Fact[];
}

function place({ all, unplaced }: Movements, limit: bigint, capped: boolean): Placed<Movement> {
  const waiting = fit(all, limit, capped);
  const placed = waiting.size === 0 ? all : all.filter((movement) => !waiting.has(movement));
  const sum = total(placed, ({ failure, amount = 0n }) => (failure ? 0n : amount));
  return { placed, sum, parked: [...waiting].flatMap(({ facts }) => facts).concat(unplaced) };
}

function placeDisputes({ all, unplaced }: Disputes, captured: bigint): Placed<DisputeSums> {
  const { fitting, waiting } = fitDisputes(all, captured);
  const sum = total(fitting, ({ taken }) => taken);
  return { placed: fitting, sum, parked: [...waiting.flatMap(({ facts }) => facts), ...unplaced] };
}

function total<T>(of: readonly T[], amount: (one: T) => bigint): bigint {
  let sum = 0n;
  for (const one of of) sum += amount(one);
  return sum;
}

function feeOf({ fee }: { fee: bigint }): bigint {
  return fee;
}

function idsOf(facts: readonly Fact[]): string[] {
  return [...facts].sort(byOwnAccount).map(({ id }) => id);
}

/** Disputes have a state of their own and do not change it. */
function statusFrom(
  { captured, refunded, held }: { captured: bigint; refunded: bigint; held: bigint },
  isAuthorised: boolean,
  { voided, expired }: Closing,
): PaymentStatus {
  if (captured > 0n) {
    if (refunded > 0n) return refunded === captured ? 'refunded' : 'partially_refunded';
    return held > 0n ? 'partially_captured' : 'captured';
  }
  if (!isAuthorised) return 'failed';
  return voided ? 'voided' : expired ? 'expired' : 'authorised';
}

function toState(movement: Movement): MovementState {
  return { objectRef: movement.objectRef, amount: movement.amount ?? 0n, status: statusOf(movement) };
}

function toDisputeState(sums: DisputeSums): DisputeState {
  const { dispute, amount, stage, outcome, fundsWithdrawn, fundsReinstated, fee } = sums;
  return { objectRef: dispute.objectRef, amount, stage, outcome, fundsWithdrawn, fundsReinstated, fee };
}
