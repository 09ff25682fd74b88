import { Column, Entity, PrimaryColumn } from 'typeorm';
import { asBigint, asMs, asMsOrEver } from '#platform/columns.js';
import type { FeePlanVersion, FeeRule, FeeSubject } from './fee-plan.js';

/** Column `rules`: as the API shows them. */
interface ShownRule {
  applies_to: FeeSubject;
  currency: string;
  percent_bps: number;
  fixed: string;
  min: string | null;
  max: string | null;
  tier_from: string;
}

export function shownRule(rule: FeeRule): ShownRule {
  return {
    applies_to: rule.appliesTo,
    currency: rule.currency,
    percent_bps: rule.percentBps,
    fixed: String(rule.fixed),
    min: rule.min === undefined ? null : String(rule.min),
    max: rule.max === undefined ? null : String(rule.max),
    tier_from: String(rule.tierFrom),
  };
}

function ruleOf(shown: ShownRule): FeeRule {
  return {
    appliesTo: shown.applies_to,
    currency: shown.currency,
    percentBps: shown.percent_bps,
    fixed: BigInt(shown.fixed),
    min: shown.min === null ? undefined : BigInt(shown.min),
    max: shown.max === null ? undefined : BigInt(shown.max),
    tierFrom: BigInt(shown.tier_from),
  };
}

const asRules = {
  to: (rules: readonly FeeRule[]) => rules.map(shownRule),
  from: (json: string) => (JSON.parse(json) as ShownRule[]).map(ruleOf),
};

@Entity({ name: 'fee_plans', synchronize: false })
export class FeePlan {
  @PrimaryColumn({ type: 'bigint', transformer: asBigint })
  id: bigint;

  @Column({ type: 'text' })
  name: string;

  @Column({ name: 'created_at', type: 'timestamptz', transformer: asMs })
  createdAtMs: number;
}

/** Never changed, for what a version says has been charged by; taken back before it begins, at most. */
@Entity({ name: 'fee_plan_versions', synchronize: false })
export class FeePlanVersionRow implements FeePlanVersion {
  @PrimaryColumn({ name: 'plan_id', type: 'bigint', transformer: asBigint })
  planId: bigint;

  @PrimaryColumn({ type: 'integer' })
  version: number;

  @Column({ name: 'valid_from', type: 'timestamptz', transformer: asMsOrEver })
  validFromMs: number;

  @Column({ name: 'refund_returns_fee', type: 'boolean' })
  refundReturnsFee: boolean;

  @Column({ type: 'json', transformer: asRules })
  rules: readonly FeeRule[];

  @Column({ name: 'created_at', type: 'timestamptz', transformer: asMs, insert: false })
  createdAtMs: number;
}

@Entity({ name: 'fee_plan_assignments', synchronize: false })
export class FeePlanAssignment {
  @PrimaryColumn({ name: 'merchant_id', type: 'bigint', transformer: asBigint })
  merchantId: bigint;

  @PrimaryColumn({ name: 'valid_from', type: 'timestamptz', transformer: asMsOrEver })
  validFromMs: number;

  @Column({ name: 'fee_plan_id', type: 'bigint', transformer: asBigint })
  planId: bigint;
}
