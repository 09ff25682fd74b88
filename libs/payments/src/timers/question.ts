import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { KnownPayment } from '../known-payment.js';
import type { Position, PositionOptions } from '../position.js';

/** What its provider is to be asked about. */
export interface Question {
  /** The payment; before there is one the fact that waits longest. */
  readonly subjectId: bigint;
  /** When it became unknown or pending. */
  readonly sinceMs: number;
}

/** Facts that wait for a payment nobody knows, or what the merchant claims and the provider has not confirmed. */
export function questionOf(known: KnownPayment, options: PositionOptions): Question | undefined {
  const { row } = known;
  const since = row ? pendingSince(known, known.position(options)) : oldest(parkedIds(known));
  return since === undefined ? undefined : { subjectId: row ? BigInt(row.id) : since, sinceMs: snowflakeTimeMs(since) };
}

function parkedIds({ facts }: KnownPayment): bigint[] {
  return [...facts.values()].filter(({ row }) => row.outcome === 'parked').map(({ row }) => BigInt(row.id));
}

/** The oldest request that waits to be confirmed, by its id: an authorisation, as long as it holds something, captures and refunds. */
function pendingSince(known: KnownPayment, { captures, refunds, amountCapturable }: Position): bigint | undefined {
  const ids = [...captures, ...refunds].flatMap(({ status, objectRef }) =>
    status === 'requested' && objectRef !== null ? [BigInt(objectRef)] : [],
  );
  if (amountCapturable > 0n && !isConfirmed(known)) ids.push(...openingIds(known));
  return oldest(ids);
}

/** Whoever tells of a capture knows the payment. */
function isConfirmed({ members }: KnownPayment): boolean {
  return members.some(({ source, type }) => source === 'provider' && (type === 'authorised' || type === 'captured'));
}

function openingIds({ facts }: KnownPayment): bigint[] {
  return [...facts.values()]
    .filter(({ fact }) => fact.source === 'request' && fact.type === 'authorised')
    .map(({ row }) => BigInt(row.id));
}

function oldest(ids: readonly bigint[]): bigint | undefined {
  return ids.reduce<bigint | undefined>((least, id) => (least === undefined || id < least ? id : least), undefined);
}
