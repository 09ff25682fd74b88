import { randomUUID } from 'node:crypto';
import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { systemClock } from '#kernel/clock.js';
import type { Logger } from '#platform/logging.js';
import { MerchantWeights } from '#platform/merchant-weights.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsMetrics } from '#platform/room-hooks.js';
import { PROCESS_TTL_MS } from './budgets.js';
import { LeaseClient } from './lease-client.js';
import { LimitCounts } from './limit-counts.js';
import { addLimitMetrics } from './limit-metrics.js';
import { Limits } from './limits.js';
import { GetMerchantLimitsHandler, SetMerchantLimitsHandler } from './merchant-limits.js';
import { defaultPlan, type LimitsSettings } from './settings.js';
import { Usage } from './usage/usage.js';
import { ListUsageHandler } from './usage/usage.queries.js';

/** What requests cost, and how much of it each merchant may have. Without REDIS_URL each process has budgets of its own. Needs PlatformModule. */
@Module({
  providers: [
    { provide: Limits, useFactory: openLimits, inject: [Database, CONFIG] },
    { provide: LimitCounts, useFactory: openCounts, inject: [Limits] },
    { provide: Usage, useFactory: openUsage, inject: [Limits, Database, CONFIG, LOGGER] },
    GetMerchantLimitsHandler,
    SetMerchantLimitsHandler,
    ListUsageHandler,
  ],
  exports: [Limits],
})
export class LimitsModule implements OnApplicationShutdown, BringsMetrics {
  constructor(
    readonly limits: Limits,
    readonly counts: LimitCounts,
    readonly usage: Usage,
    weights: MerchantWeights,
  ) {
    weights.use((merchantId) => limits.budgets.planOf(merchantId).weight);
  }

  addMetrics(metrics: Metrics): void {
    addLimitMetrics(metrics, this);
  }

  /** The last answer has gone in the hook before. */
  async onApplicationShutdown(): Promise<void> {
    this.counts.close();
    await Promise.all([this.limits.close(), this.usage.close()]);
  }
}

function openLimits(database: Database, settings: LimitsSettings): Limits {
  const { redisUrl: url, limitRedisTimeoutMs: timeoutMs } = settings;
  const client =
    url === undefined ? undefined : new LeaseClient({ url, timeoutMs, process: randomUUID(), ttlMs: PROCESS_TTL_MS });
  return Limits.open(database, client, {
    defaults: defaultPlan(settings),
    leaseMs: settings.limitLeaseMs,
    planCacheMs: settings.limitPlanCacheMs,
  });
}

function openCounts(limits: Limits): LimitCounts {
  const counts = new LimitCounts((merchantId) => limits.budgets.planOf(merchantId).weight);
  limits.onCharged((charged) => counts.add(charged));
  return counts;
}

function openUsage(limits: Limits, database: Database, settings: LimitsSettings, logger: Logger): Usage {
  const usage = new Usage(database, { logger, clock: systemClock, flushMs: settings.limitUsageFlushMs });
  limits.onCharged((charged) => usage.add(charged));
  return usage;
}
