import { labelled, type Metrics } from '#platform/metrics.js';
import type { BalanceCache } from './balance-cache.js';
import { VERDICTS } from './cache-judge.js';
import type { BalanceMonitor } from './monitor.js';

const BREAKER_STATES = ['closed', 'half-open', 'open'] as const;

/** How the cache fares, from the counts that its parts keep anyway. */
export function addBalanceMetrics(metrics: Metrics, cache: BalanceCache): void {
  const { reader, fences, client, sweeper, databaseReads } = cache;
  const counter = (name: string, help: string, read: () => number) =>
    metrics.counter(`counterfoil_balance_${name}_total`, help, read);
  const gauge = (name: string, help: string, read: () => number) =>
    metrics.gauge(`counterfoil_balance_${name}`, help, read);

  counter('hits', 'Reads that Redis answered.', () => reader.counts.hits);
  counter('misses', 'Reads that were granted the lease to fill.', () => reader.counts.grants);
  counter('fenced_reads', 'Reads that met a writer at work.', () => reader.counts.fenced);
  counter('lease_waits', "Waits for another reader's fill.", () => reader.counts.leaseWaits);
  counter('early_refreshes', 'Refreshes before the deadline (XFetch).', () => reader.counts.earlyRefreshes);
  counter('process_hits', "Bounded reads that this process' memory answered.", () => reader.counts.l1Hits);
  counter('bypassed_reads', 'Reads without Redis: away, or not trusted.', () => reader.counts.bypassed);
  counter('fills_refused', 'Fills that came too late.', () => reader.counts.fillsRefused);
  counter('groups', 'Commit groups around which fences were set.', () => fences.counts.groups);
  counter('unfenced_groups', 'Commit groups whose fence was not confirmed.', () => fences.counts.unfenced);
  metrics.counter(
    'counterfoil_balance_publishes_total',
    'Balances published after COMMIT: installed; refused (only invalidated); unconfirmed (calls to Redis, invalidations and unfences included).',
    () => {
      const { installed, refused, unconfirmed } = fences.counts;
      return labelled('outcome', { installed, refused, unconfirmed });
    },
  );
  counter('sweeps', 'Fences of lost writers removed.', () => sweeper.swept);
  counter('database_queries', 'Queries for balances sent to PostgreSQL.', () => databaseReads.counts.queries);
  counter('database_accounts', 'Balances read by those queries.', () => databaseReads.counts.accounts);
  gauge('database_waiting', 'Accounts that wait for such a query.', () => databaseReads.waiting);
  gauge(
    'pending_invalidations',
    'Invalidations that Redis has not confirmed yet.',
    () => cache.state().pendingInvalidations,
  );
  metrics.gauge(
    'counterfoil_balance_breaker',
    'State of the circuit breaker around Redis: 1 for the one that holds.',
    () => {
      const { breaker } = client.state;
      return BREAKER_STATES.map((state) => [{ state }, state === breaker ? 1 : 0]);
    },
  );
  gauge('connected', '1 while the connection to Redis stands.', () => Number(client.state.connected));
  gauge('refusing', '1 while Redis has no memory for fences, or may evict them.', () => {
    const { refusing, evictsFences } = client.state;
    return Number(refusing || evictsFences);
  });
  metrics.histogram(
    'counterfoil_balance_call_seconds',
    'How long calls to Redis took, one pipeline each, by what they were for.',
    () => labelled('call', client.durations),
  );
  metrics.counter(
    'counterfoil_balance_redis_errors_total',
    'Calls to Redis that failed (timeouts among them), times that the breaker opened, and fences refused for want of memory.',
    () => {
      const { failures, timeouts, breaks, refusals } = client.state;
      return labelled('kind', { failures, timeouts, breaks, refusals });
    },
  );
}

export function addMonitorMetrics(metrics: Metrics, monitor: BalanceMonitor): void {
  metrics.counter(
    'counterfoil_balance_monitor_accounts_total',
    'Accounts whose cached balance was compared with the ledger, by what was found.',
    () => VERDICTS.map((verdict) => [{ verdict }, monitor.counts[verdict]]),
  );
  const counter = (name: string, help: string, read: () => number) =>
    metrics.counter(`counterfoil_balance_monitor_${name}_total`, help, read);
  counter('rounds', 'Samples compared.', () => monitor.counts.rounds);
  counter('suspected', 'Accounts that were looked at again.', () => monitor.counts.suspected);
  counter('healed', 'Wrong cached balances removed.', () => monitor.counts.healed);
}
