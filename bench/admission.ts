import { randomUUID } from 'node:crypto';
import { median } from '#db/bench/text-table.js';
import { PROCESS_TTL_MS } from '#limits/budgets.js';
import { LeaseClient } from '#limits/lease-client.js';
import { Limits } from '#limits/limits.js';
import { defaultPlan, type LimitsSettings } from '#limits/settings.js';
import { Cost } from '#platform/cost.js';
import { Database } from '#platform/postgres.js';

const SAMPLES = 500;
/** Between two turns of the event loop, in which leases are renewed. */
const CALLS = 20;

/** Microseconds to admit a cached read, settle it and tell what is left, without HTTP; the median of means of 20. */
export async function admissionUs(runtimeUrl: string, settings: LimitsSettings, merchantId: bigint): Promise<number> {
  const pool = { poolSize: 2, connectTimeoutMs: settings.databaseConnectTimeoutMs, applicationName: 'admission' };
  const database = new Database(runtimeUrl, pool);
  const redis = { url: process.env.REDIS_URL as string, process: randomUUID(), ttlMs: PROCESS_TTL_MS };
  const client = new LeaseClient({ ...redis, timeoutMs: settings.limitRedisTimeoutMs });
  const { limitLeaseMs: leaseMs, limitPlanCacheMs: planCacheMs } = settings;
  const limits = Limits.open(database, client, { defaults: defaultPlan(settings), leaseMs, planCacheMs });
  const asking = { merchantId, byOperator: false, method: 'GET', route: '/', bytes: 0, rows: 0 };
  const samples: number[] = [];
  try {
    while (samples.length < SAMPLES) {
      const startedMs = performance.now();
      let refused = 0;
      for (let call = 0; call < CALLS; call += 1) {
        const charge = limits.begin({ ...asking, price: 'balance', cost: new Cost() }, performance.now());
        if (charge instanceof Promise || charge.limit === undefined || charge.refusal()) refused += 1;
        else charge.end();
      }
      if (refused === 0) samples.push(((performance.now() - startedMs) * 1_000) / CALLS);
      await new Promise(setImmediate);
    }
  } finally {
    await limits.close();
    await database.close();
  }
  return median(samples);
}
