import { addDurations } from '#platform/durations.js';
import { labelled, type Metrics } from '#platform/metrics.js';
import type { Settler } from '../settler.js';
import type { NightWorker } from './night-worker.js';

export function addRunMetrics(metrics: Metrics, worker: NightWorker, { durations }: Settler): void {
  const steps = { name: 'counterfoil_settlement_step_seconds', what: 'steps', label: 'step' };
  addDurations(metrics, steps, durations);
  metrics.counter(
    'counterfoil_settlement_runs_total',
    'Runs whose last range was completed here, by how they ended.',
    () => labelled('status', worker.runs),
    ['status'],
  );
  metrics.counter(
    'counterfoil_settlement_ranges_total',
    'Ranges worked on here; superseded: somebody else had completed them.',
    () => labelled('outcome', worker.ranges),
    ['outcome'],
  );
  metrics.counter(
    'counterfoil_settlement_range_seconds_sum',
    'How long those ranges took together.',
    () => worker.seconds,
  );
  metrics.counter(
    'counterfoil_settlement_merchants_total',
    'Merchants of ranges completed here, by what came of their day.',
    () => labelled('outcome', worker.merchants),
    ['outcome'],
  );
}
