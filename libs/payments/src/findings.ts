import type { Authorisation, Closing } from './authorisation.js';
import type { DisputeSums } from './disputes.js';
import type { Known } from './known.js';
import type { Movement } from './movement.js';

/** Contradictions: counted as the law says, shown by reconciliation, never a failure. */
export const FINDING_KINDS = [
  'currency_mismatch',
  'contradictory_event',
  'authorisation_mismatch',
  'overcaptured',
  'captured_after_void',
  'captured_after_expiry',
  'refunded_and_disputed',
  'reinstated_beyond_withdrawn',
  'settled_beyond_captured',
] as const;

export type FindingKind = (typeof FINDING_KINDS)[number];

export interface Finding {
  readonly kind: FindingKind;
  /** A sentence, of the facts alone. Amounts in minor units. */
  readonly detail: string;
}

export interface Seen {
  readonly known: Known;
  readonly currency: string;
  readonly authorisation: Authorisation;
  /** Those that count. */
  readonly captures: readonly Movement[];
  readonly closing: Closing;
  readonly disputes: readonly DisputeSums[];
  readonly captured: bigint;
  readonly refunded: bigint;
  readonly disputed: bigint;
  readonly settled: bigint;
}

/** In the order of FINDING_KINDS. */
export function findingsOf(seen: Seen, overcapturePercent: number): Finding[] {
  const findings: Finding[] = [];
  const find = (kind: FindingKind, detail: string): void => {
    findings.push({ kind, detail });
  };
  const { known, currency, captured, refunded, disputed, settled } = seen;
  if (known.foreign.length > 0)
    find('currency_mismatch', `Facts are in another currency than ${currency}: ${known.foreign.join(', ')}.`);
  if (known.contradictory.length > 0)
    find('contradictory_event', `Told with more than one content: ${known.contradictory.join(', ')}.`);
  findInCaptures(seen, overcapturePercent, find);
  if (refunded > 0n && disputed > 0n && refunded + disputed > captured)
    find('refunded_and_disputed', `${refunded} refunded and ${disputed} disputed, of ${captured} captured.`);
  for (const { dispute, fundsWithdrawn, fundsReinstated } of seen.disputes) {
    if (fundsReinstated <= fundsWithdrawn) continue;
    const which = dispute.objectRef === null ? 'the dispute' : `dispute ${dispute.objectRef}`;
    find('reinstated_beyond_withdrawn', `${fundsReinstated} reinstated of ${which}, ${fundsWithdrawn} withdrawn.`);
  }
  if (settled > captured) find('settled_beyond_captured', `${settled} settled, of ${captured} captured.`);
  return findings;
}

function findInCaptures(
  { authorisation, captures, closing, captured }: Seen,
  overcapturePercent: number,
  find: (kind: FindingKind, detail: string) => void,
): void {
  const { amount, told } = authorisation;
  if (told.length > 0) find('authorisation_mismatch', `Authorised amounts differ: ${told.join(', ')}.`);
  if (amount !== undefined && captured > withOvercapture(amount, overcapturePercent))
    find('overcaptured', `${captured} captured, of ${amount} authorised.`);
  for (const [kind, fact] of [
    ['captured_after_void', closing.voided],
    ['captured_after_expiry', closing.expired],
  ] as const) {
    if (fact === undefined) continue;
    const late = captures.filter(({ told }) => told && told.occurredAtMs > fact.occurredAtMs);
    if (late.length > 0) find(kind, `Captured after ${fact.id}: ${late.map(({ told }) => told?.id).join(', ')}.`);
  }
}

/** The most that may be captured of an authorised amount: minor units, rounded down. */
export function withOvercapture(authorised: bigint, overcapturePercent: number): bigint {
  return authorised + (authorised * BigInt(Math.round(overcapturePercent * 100))) / 10_000n;
}
