import type { RowType } from '#reconciliation/report-row.js';

/** What the oracle is given: what a world told as facts, and the rows of its reports, as written. Nothing that the product has made of it. */

export interface ToldFact {
  readonly type: string;
  readonly amount?: bigint;
  readonly objectRef?: string;
  readonly fee?: bigint;
  readonly stage?: string;
  readonly atMs: number;
}

export interface ToldPayment {
  readonly provider: string;
  readonly ref: string;
  readonly currency: string;
  readonly facts: readonly ToldFact[];
}

export interface ToldPayout {
  readonly id: string;
  readonly amount: bigint;
  readonly currency: string;
  readonly status: 'instructed' | 'paid' | 'returned' | 'failed';
  /** Of one that is not paid yet, when it was asked for. */
  readonly paidAtMs: number;
  readonly returnedAtMs?: number;
}

export interface World {
  /** Grows while the world is told. */
  readonly payments: ToldPayment[];
  readonly payouts: ToldPayout[];
}

/** What becomes known of payments: of one that is known already, what more happened. */
export function learn({ payments }: World, told: readonly ToldPayment[]): void {
  for (const payment of told) {
    const nth = payments.findIndex(({ provider, ref }) => provider === payment.provider && ref === payment.ref);
    const known = payments[nth];
    if (known === undefined) payments.push(payment);
    else payments[nth] = { ...known, facts: [...known.facts, ...payment.facts] };
  }
}

/** Types of rows that are of a payment. */
export const OF_PAYMENTS: readonly string[] = ['payment', 'refund', 'dispute', 'dispute_reversed'];

export interface ToldRow {
  readonly line: number;
  /** What its source tells it apart by. */
  readonly identity: string;
  readonly type: RowType;
  readonly reference: string | undefined;
  readonly objectRef: string | undefined;
  readonly gross: bigint;
  readonly fee: bigint;
  readonly currency: string;
  readonly atMs: number;
  readonly batch: string | undefined;
}

/** Opening and closing balance, where it has them, and what its entries come to. */
export interface ToldStatement {
  readonly account: string;
  readonly id: string;
  readonly opening?: bigint;
  readonly closing?: bigint;
  readonly entries: bigint;
}

export interface ToldReport {
  readonly source: string;
  /** Whose payments it is about; undefined: anybody's. */
  readonly provider: string | undefined;
  readonly rows: readonly ToldRow[];
  /** Of a bank. */
  readonly statements?: readonly ToldStatement[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly slaDays: number;
  /** When it is looked at. */
  readonly nowMs: number;
}

export interface Tolerances {
  readonly amount: bigint;
  readonly fee: bigint;
  readonly days: number;
}

export const DAY_MS = 86_400_000;

export function sum(values: readonly bigint[]): bigint {
  return values.reduce((total, value) => total + value, 0n);
}

export function distance(a: bigint, b: bigint): bigint {
  return a < b ? b - a : a - b;
}
