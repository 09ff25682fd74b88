import { labelled, type Metrics } from '#platform/metrics.js';
import type { Settler } from '../settler.js';
import type { NightWorker } from './night-worker.js';

export function addRunMetrics(metrics: Metrics, worker: NightWorker, { durations }: Settler): void {
  metrics.histogram(
    'counterfoil_settlement_step_seconds',
    'How long steps of settling took: begin a page of merchants, draft a chunk of entries, close a page.',
    () => labelled('step', durations),
  );
  metrics.counter(
    'counterfoil_settlement_runs_total',
    'Runs whose last range was completed here, by how they ended.',
    () => labelled('status', worker.runs),
  );
  metrics.counter(
    'counterfoil_settlement_ranges_total',
    'Ranges worked on here; superseded: somebody else had completed them.',
    () => labelled('outcome', worker.ranges),
  );
  metrics.histogram(
    'counterfoil_settlement_range_seconds',
    'How long those ranges took, failed ones included.',
    () => worker.durations,
  );
  metrics.counter(
    'counterfoil_settlement_merchants_total',
    'Merchants of ranges completed here, by what came of their day.',
    () => labelled('outcome', worker.merchants),
  );
}
