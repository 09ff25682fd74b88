import { labelled, type Metrics } from '#platform/metrics.js';
import type { LimitCounts } from './limit-counts.js';
import type { Limits } from './limits.js';
import type { Usage } from './usage/usage.js';

export function addLimitMetrics(metrics: Metrics, parts: { counts: LimitCounts; limits: Limits; usage: Usage }): void {
  const { counts, limits, usage } = parts;
  metrics.counter(
    'counterfoil_limit_units_total',
    'Units that requests came to, by their price and whose key they had.',
    () => counts.units(),
  );
  metrics.counter(
    'counterfoil_limit_refusals_total',
    'Requests of merchants that were refused, by the limit that refused them.',
    () => labelled('reason', { ...counts.refusals }),
  );
  metrics.gauge(
    'counterfoil_limit_fairness',
    'Jain’s index of units ÷ weight of the merchants that had any in the last 10 s: 1 is even.',
    () => counts.fairness,
  );
  metrics.gauge(
    'counterfoil_limit_units_in_hand',
    'Units that are taken from budgets in advance.',
    () => limits.budgets.inHand,
  );
  metrics.gauge('counterfoil_limit_budgets', 'Merchants whose budget the process spends.', () => limits.budgets.size);
  metrics.gauge(
    'counterfoil_limit_shares',
    '1 while budgets cannot be asked for in Redis, and shares are spent.',
    () => (limits.budgets.areShared ? Number(limits.budgets.isAway) : []),
  );
  metrics.gauge('counterfoil_usage_waiting', 'Sums of usage that are not written yet.', () => usage.waiting);
  metrics.counter('counterfoil_usage_failures_total', 'Tries to write them that failed.', () => usage.failures);
  metrics.counter(
    'counterfoil_usage_uncounted_total',
    'Requests whose usage could not be kept until it could be written.',
    () => usage.uncounted,
  );
}
