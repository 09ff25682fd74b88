import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { ApiProcess } from './api-process.js';
import { type BenchMerchant, balanceRequest } from './requests.js';
import type { TrialResult } from './trial-result.js';

const CONNECTIONS = 200;
const WITHIN_MS = 30_000;
const STATUS = /HTTP\/1\.1 (\d{3})/g;
/** Longer than a fill that was granted before the key was dropped can take. */
const QUIET_MS = 100;

/**
 * A stampede: every read is on its way before the first can be answered, pipelined on its connections, at all the processes
 * together, for an account that Redis does not hold. What counts is how many balances PostgreSQL was asked for. `reads`: in all, shared
 * out evenly.
 */
export async function readColdKey(
  apis: readonly ApiProcess[],
  redis: Redis,
  merchant: BenchMerchant,
  reads: number,
): Promise<TrialResult> {
  const request = balanceRequest(merchant, 0);
  // Keys and accounts are known to each process, as they are in one that has been up for a second.
  for (const { port } of apis) await pipelined(port, request, 1);
  await sleep(QUIET_MS);
  await redis.del(`bal:{${merchant.id}}:${merchant.accounts[0]}`);
  const before = await databaseReads(apis);
  const startedAt = performance.now();
  const each = reads / CONNECTIONS;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, index) =>
      pipelined((apis[index % apis.length] as ApiProcess).port, request, each),
    ),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  return {
    perSecond: reads / seconds,
    p50: Number.NaN,
    p99: Number.NaN,
    p999: Number.NaN,
    databaseReads: (await databaseReads(apis)) - before,
  };
}

/** Balances that these processes have read from PostgreSQL, by their own metrics. */
export async function databaseReads(apis: readonly ApiProcess[]): Promise<number> {
  const counts = apis.map(async ({ metricsPort }) => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    return Number(/^counterfoil_balance_database_accounts_total (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

/** The request so many times at once on one connection; resolves when all are answered with 200. */
function pipelined(port: number, request: string, times: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request.repeat(times), 'latin1'));
    let text = '';
    socket.setTimeout(WITHIN_MS, () => socket.destroy(new Error(`not all of ${times} reads were answered`)));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const statuses = Array.from(text.matchAll(STATUS), ([, status]) => status);
      const refused = statuses.find((status) => status !== '200');
      if (refused) socket.destroy(new Error(`a read was answered with ${refused}`));
      if (statuses.length < times) return;
      socket.destroy();
      resolve();
    });
  });
}
