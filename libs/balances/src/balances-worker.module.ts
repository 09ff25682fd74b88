import { Inject, Module } from '@nestjs/common';
import type { RelayTarget } from '#outbox/relay/relay.js';
import type { BringsRelayTargets } from '#outbox/room.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties, BringsMetrics, BringsOutsideChecks, OutsideCheck } from '#platform/room-hooks.js';
import { BALANCE_CACHE, type BalanceCache } from './balance-cache.js';
import { addMonitorMetrics } from './balance-metrics.js';
import { cacheCheck } from './checks.js';
import { BalanceInvalidation } from './invalidation.js';
import { BalanceMonitor } from './monitor.js';
import type { BalancesSettings } from './settings.js';

/** Readers of a fenced account start its sweep themselves; the rounds find what nobody reads. */
const SWEEP_INTERVAL_MS = 5_000;

/** What looks after the cache. Without REDIS_URL there is nothing to do. */
@Module({})
export class BalancesWorkerModule implements BringsDuties, BringsMetrics, BringsRelayTargets, BringsOutsideChecks {
  readonly #monitor: BalanceMonitor | undefined;

  constructor(
    @Inject(BALANCE_CACHE) private readonly cache: BalanceCache | undefined,
    @Inject(CONFIG) private readonly config: BalancesSettings,
    private readonly database: Database,
    @Inject(LOGGER) logger: Logger,
  ) {
    const options = { ttlMs: config.balanceTtlMs, sample: config.balanceMonitorSample };
    this.#monitor = cache && new BalanceMonitor({ client: cache.client, database, logger }, options);
  }

  duties(): readonly DutyPlan[] {
    const { cache, config } = this;
    const monitor = this.#monitor;
    if (!cache || !monitor) return [];
    return [
      { name: 'sweep fences', intervalMs: SWEEP_INTERVAL_MS, round: () => cache.sweeper.round() },
      {
        name: 'compare the balance cache with the ledger',
        intervalMs: config.balanceMonitorIntervalMs,
        round: () => monitor.round(),
      },
    ];
  }

  addMetrics(metrics: Metrics): void {
    if (this.#monitor) addMonitorMetrics(metrics, this.#monitor);
  }

  outsideChecks(): readonly OutsideCheck[] {
    const { cache, database } = this;
    return cache ? [cacheCheck(cache.client, database)] : [];
  }

  relayTargets(): readonly RelayTarget[] {
    const { cache, config, database } = this;
    return cache ? [new BalanceInvalidation(cache.client, database, { ttlMs: config.balanceTtlMs })] : [];
  }
}
