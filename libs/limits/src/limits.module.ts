import { randomUUID } from 'node:crypto';
import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { MerchantWeights } from '#platform/merchant-weights.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { PROCESS_TTL_MS } from './budgets.js';
import { LeaseClient } from './lease-client.js';
import { Limits } from './limits.js';
import { GetMerchantLimitsHandler, SetMerchantLimitsHandler } from './merchant-limits.js';
import { defaultPlan, type LimitsSettings } from './settings.js';

/** What requests cost, and how much of it each merchant may have. Without REDIS_URL each process has budgets of its own. Needs PlatformModule. */
@Module({
  providers: [
    { provide: Limits, useFactory: openLimits, inject: [Database, CONFIG] },
    GetMerchantLimitsHandler,
    SetMerchantLimitsHandler,
  ],
  exports: [Limits],
})
export class LimitsModule implements OnApplicationShutdown {
  constructor(
    private readonly limits: Limits,
    weights: MerchantWeights,
  ) {
    weights.use((merchantId) => limits.budgets.planOf(merchantId).weight);
  }

  /** The last answer has gone in the hook before. */
  async onApplicationShutdown(): Promise<void> {
    await this.limits.close();
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
