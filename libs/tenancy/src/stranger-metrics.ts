import type { Metrics } from '#platform/metrics.js';
import type { Strangers } from './strangers.js';

export function addStrangerMetrics(metrics: Metrics, strangers: Strangers): void {
  metrics.counter(
    'counterfoil_stranger_tries_total',
    'Keys that were not known to the process, and signatures, by whether they were found to be valid.',
    () => [
      [{ result: 'valid' }, strangers.counts.valid],
      [{ result: 'not_valid' }, strangers.counts.notValid],
    ],
  );
  metrics.counter(
    'counterfoil_stranger_refusals_total',
    'Keys and signatures that were refused before they were looked at: too many of their address failed, or of all, or wait.',
    () => Object.entries(strangers.counts.refused).map(([by, count]) => [{ by }, count]),
  );
  metrics.gauge(
    'counterfoil_stranger_lookups',
    'Keys that are being looked up in PostgreSQL.',
    () => strangers.lookingUp,
  );
}
