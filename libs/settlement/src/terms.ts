import type { FeePlanVersion, FeeRule } from '#fees/fee-plan.js';

/** What a plan's version charges for one kind of items in one currency, as SQL takes it: tiers in their order, an array a column. */
export interface TermsRow {
  readonly no: number;
  readonly kind: string;
  readonly tiers: readonly string[];
  readonly bps: readonly number[];
  readonly fixed: readonly string[];
  readonly least: readonly (string | null)[];
  readonly most: readonly (string | null)[];
}

/** The terms of one statement: each version of a plan once for each currency, however many merchants are on it. */
export class TermSheet {
  readonly rows: TermsRow[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf({ planId, version, rules }: FeePlanVersion, currency: string): number {
    const name = `${planId} ${version} ${currency}`;
    let no = this.#numbers.get(name);
    if (no === undefined) {
      no = this.#numbers.size;
      this.#numbers.set(name, no);
      const own = rules.filter((rule) => rule.currency === currency);
      for (const [kind, tiers] of Map.groupBy(own, (rule) => rule.appliesTo)) this.rows.push(rowOf(no, kind, tiers));
    }
    return no;
  }
}

function rowOf(no: number, kind: string, rules: readonly FeeRule[]): TermsRow {
  const tiers = rules.toSorted((a, b) => (a.tierFrom < b.tierFrom ? -1 : 1));
  return {
    no,
    kind,
    tiers: tiers.map(({ tierFrom }) => String(tierFrom)),
    bps: tiers.map(({ percentBps }) => percentBps),
    fixed: tiers.map(({ fixed }) => String(fixed)),
    least: tiers.map(({ min }) => (min === undefined ? null : String(min))),
    most: tiers.map(({ max }) => (max === undefined ? null : String(max))),
  };
}
