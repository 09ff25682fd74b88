import type { RowType } from '#reconciliation/report-row.js';
import { sum, type ToldFact, type ToldPayment, type ToldPayout } from './told.js';

/** What the ledger has that a report should tell. */
export interface Item {
  /** The product's, with the payment's name where that has its id. */
  readonly key: string;
  readonly kind: RowType;
  readonly objectRef: string | undefined;
  readonly amount: bigint;
  readonly currency: string;
  readonly atMs: number;
  /** It failed or was taken back: no report should tell it. */
  readonly isUndone: boolean;
  /** A report must tell it. */
  readonly isDue: boolean;
}

export function nameOf({ provider, ref }: Pick<ToldPayment, 'provider' | 'ref'>): string {
  return `${provider}:${ref}`;
}

export function itemsOfPayment(payment: ToldPayment): Item[] {
  return [
    ...movements(payment, 'payment', 'captured', ['capture_failed'], 1n),
    ...movements(payment, 'refund', 'refunded', ['refund_failed', 'refund_reversed'], -1n),
    ...disputes(payment),
  ];
}

function movements(payment: ToldPayment, kind: RowType, begins: string, ends: string[], sign: bigint): Item[] {
  const facts = payment.facts.filter(({ type }) => type === begins);
  const seen = new Map<bigint, number>();
  return facts.map(({ amount = 0n, objectRef, atMs }) => {
    const gross = sign * amount;
    const isUndone = payment.facts.some((end) => ends.includes(end.type) && end.objectRef === objectRef);
    const more = { objectRef, isUndone, isDue: !isUndone };
    if (objectRef !== undefined) return { ...itemOf(payment, kind, objectRef, gross, atMs), ...more };
    const nth = (seen.get(gross) ?? 0) + 1;
    seen.set(gross, nth);
    // Without a name it cannot be told from others of its amount: it has the earliest's time.
    const alike = facts.filter((fact) => fact.objectRef === undefined && fact.amount === amount);
    const firstMs = Math.min(...alike.map((fact) => fact.atMs));
    return { ...itemOf(payment, kind, `#${gross}.${nth}`, gross, firstMs), ...more };
  });
}

function disputes(payment: ToldPayment): Item[] {
  const facts = payment.facts.filter(({ type }) => type.startsWith('dispute_'));
  const names = [...new Set(facts.flatMap(({ objectRef = [] }) => objectRef))];
  return names.flatMap((name) => {
    return disputeItems(
      payment,
      name,
      facts.filter(({ objectRef }) => objectRef === name),
    );
  });
}

function disputeItems(payment: ToldPayment, name: string, facts: readonly ToldFact[]): Item[] {
  const of = (type: string) => facts.filter((fact) => fact.type === type);
  const told = (type: string) => sum(of(type).map(({ amount = 0n }) => amount));
  const [withdrawn, reinstated] = [told('dispute_funds_withdrawn'), told('dispute_funds_reinstated')];
  const atMs = Math.min(...facts.map((fact) => fact.atMs));
  const item = (kind: RowType, amount: bigint, isDue: boolean): Item => {
    return { ...itemOf(payment, kind, name, amount, atMs), objectRef: name, isUndone: false, isDue };
  };
  if (withdrawn + reinstated > 0n) {
    const down = withdrawn > 0n ? [item('dispute', -withdrawn, true)] : [];
    return reinstated > 0n ? [...down, item('dispute_reversed', reinstated, true)] : down;
  }
  if (facts.every(({ stage = 'chargeback' }) => stage === 'inquiry')) return [];
  const isWon = of('dispute_won').length > 0;
  const amount = told('dispute_opened');
  const down = item('dispute', -amount, !isWon);
  return isWon ? [down, item('dispute_reversed', amount, false)] : [down];
}

function itemOf(payment: ToldPayment, kind: RowType, name: string, amount: bigint, atMs: number) {
  return { key: `payment/${nameOf(payment)}/${kind}/${name}`, kind, amount, currency: payment.currency, atMs };
}

export function itemsOfPayout({ id, amount, currency, status, paidAtMs, returnedAtMs }: ToldPayout): Item[] {
  const item = { kind: 'payout' as const, objectRef: undefined, currency };
  const [isPaid, isFailed] = [status === 'paid' || status === 'returned', status === 'failed'];
  const isBack = status === 'returned';
  return [
    { ...item, key: `payout/${id}`, amount: -amount, atMs: paidAtMs, isUndone: isFailed, isDue: isPaid },
    { ...item, key: `return/${id}`, amount, atMs: returnedAtMs ?? paidAtMs, isUndone: !isBack, isDue: isBack },
  ];
}
