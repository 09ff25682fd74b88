import { labelled, type Metrics } from '#platform/metrics.js';
import type { Writer } from './writer.js';

export function addWriterMetrics(metrics: Metrics, writer: Writer): void {
  const { times } = writer;
  metrics.gauge(
    'counterfoil_writer_waiting',
    'Postings that wait for their commit group, or for their balances to be told.',
    () => writer.waiting,
  );
  metrics.gauge('counterfoil_writer_capacity', 'Those that may; more are refused.', () => writer.capacity);
  metrics.gauge('counterfoil_writer_busy_lanes', 'Lanes with a group in hand, by their kind.', () =>
    labelled('lane', writer.busyLanes),
  );
  metrics.gauge('counterfoil_writer_lanes', 'Lanes by their kind.', () => labelled('lane', writer.lanes));
  metrics.counter('counterfoil_writer_groups_total', 'Commit groups by the kind of their lane.', () => {
    const { shared, apart } = writer.counts;
    return labelled('lane', { shared, apart });
  });
  metrics.counter(
    'counterfoil_writer_left_behind_total',
    'Postings whose group did not wait any longer for their merchant’s lock, or that were parted from it by poison.',
    () => writer.counts.leftBehind,
  );
  metrics.histogram('counterfoil_writer_wait_seconds', 'How long postings waited for their group to begin.', () =>
    labelled('lane', times.waits),
  );
  metrics.histogram('counterfoil_writer_group_requests', 'How many requests went together in a try of a group.', () =>
    labelled('lane', times.sizes),
  );
  metrics.histogram(
    'counterfoil_writer_step_seconds',
    'How long steps of a group took in PostgreSQL: its locks, its writes with their COMMIT, and the look at what an ambiguous COMMIT did.',
    () => labelled('step', times.steps),
  );
}
