import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { generateApiKey } from '#tenancy/api-key.js';
import { childrenOf } from '../../bench/cpu.js';
import type { DrillName } from '../alerts.js';
import { type Stage, transfer } from './stage.js';

/** Does it, and returns how it is healed. */
type Harm = (stage: Stage) => Promise<() => Promise<unknown> | unknown>;

const DAY_MS = 86_400_000;

export const HARMS: Readonly<Record<DrillName, { what: string; harm: Harm }>> = {
  'worker-killed': {
    what: 'the worker is killed, and started again',
    harm: async (stage) => {
      await stage.worker.end('SIGKILL');
      return () => stage.startWorker();
    },
  },
  'database-stopped': {
    what: 'PostgreSQL stands still (SIGSTOP) while two callers post',
    harm: async (stage) => {
      const end = stage.keepOn(() => stage.post(), 2);
      const stopped = stop(await stage.postgres());
      return () => Promise.all([end(), stopped()]);
    },
  },
  'slow-database': {
    what: 'PostgreSQL stands still for 4 s of each 4.3 s while 60 callers post',
    harm: async (stage) => {
      const end = stage.keepOn(() => stage.post(), 60);
      const pulse = pulses(await stage.postgres(), 4_000, 300);
      return () => Promise.all([end(), pulse()]);
    },
  },
  'table-locked': {
    what: 'somebody holds a lock on `transactions` while 30 callers list them',
    harm: async (stage) => {
      const unlock = await stage.session(...statements('BEGIN', 'LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE'));
      const end = stage.keepOn(() => stage.merchant.call('GET', '/v1/transactions?limit=1'), 30);
      return () => Promise.all([end(), unlock()]);
    },
  },
  'event-loop-stopped': {
    what: 'the API stands still for 0.6 s of each second',
    harm: async (stage) => pulses([stage.api.process.pid as number], 600, 400),
  },
  'cache-stopped': {
    what: 'the cache’s Redis stands still while callers post and read',
    harm: async (stage) => {
      const { data } = await stage.merchant.call('GET', '/v1/accounts?limit=1');
      const ends = [
        stage.keepOn(() => stage.post(), 2),
        stage.keepOn(() => stage.merchant.call('GET', `/v1/accounts/${data[0].id}/balance`), 2),
      ];
      const stopped = stop(await stage.redis('cache'));
      return () => Promise.all([stopped(), ...ends.map((end) => end())]);
    },
  },
  'queue-stopped': {
    what: 'the queue’s Redis stands still while a caller posts',
    harm: async (stage) => {
      const end = stage.keepOn(() => stage.post());
      const stopped = stop(await stage.redis('queue'));
      return () => Promise.all([end(), stopped()]);
    },
  },
  'wrong-balance': {
    what: 'somebody writes into a cached balance, again and again',
    harm: async (stage) => {
      const { data } = await stage.merchant.call('GET', '/v1/accounts?limit=1');
      const redis = new Redis(process.env.REDIS_URL ?? '');
      const key = `bal:{${stage.merchant.id}}:${data[0].id}`;
      const end = stage.keepOn(async () => {
        await stage.merchant.call('GET', `/v1/accounts/${data[0].id}/balance`);
        await redis.hset(key, 'val', 'no balance');
      });
      return () => Promise.all([end(), redis.disconnect()]);
    },
  },
  'open-transaction': {
    what: 'a session with a transaction id is left open while a caller posts',
    harm: async (stage) => {
      const close = await stage.session(...statements('BEGIN', 'SELECT pg_current_xact_id()'));
      const end = stage.keepOn(() => stage.post());
      return () => Promise.all([end(), close()]);
    },
  },
  'apart-stuck': {
    what: 'a merchant that goes apart is claimed by a worker that does not come back',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      await stage.sql.query(
        `INSERT INTO merchant_positions (merchant_id, consumer, xid, seq, claimed_by, claimed_until)
         SELECT $1, consumer, xid, seq, gen_random_uuid(), now() + interval '1 hour' FROM consumer_positions
          WHERE consumer = 'daily_summaries' AND partition = partition_of($1)`,
        [shop.id],
      );
      const end = stage.keepOn(() => stage.post({}, shop));
      return () =>
        Promise.all([
          end(),
          stage.sql.query('UPDATE merchant_positions SET claimed_until = now() WHERE merchant_id = $1', [shop.id]),
        ]);
    },
  },
  'future-event': {
    what: 'an event of a version from the future is in the log; then it is discarded',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      await stage.sql.query(
        `INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, 'transaction.posted', 99, now(), '{}')`,
        [shop.id],
      );
      return () => discardAll(stage);
    },
  },
  'handler-killed': {
    what: 'handlers’ processes are killed as often as they come, while events do',
    harm: async (stage) => {
      const end = stage.keepOn(() => stage.post(), 2, 10);
      const kill = stage.keepOn(async () => signal(childrenOf(stage.worker.process.pid as number), 'SIGKILL'), 1, 150);
      return () => Promise.all([end(), kill(), discardAll(stage)]);
    },
  },
  'hold-locked': {
    what: 'a hold expires whose balances somebody has locked',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      await stage.post({ status: 'pending', expires_at: new Date(Date.now() + 3_000).toISOString() }, shop);
      const lock = {
        text: 'SELECT FROM balances WHERE merchant_id = $1 ORDER BY account_id FOR UPDATE',
        values: [shop.id],
      };
      return stage.session({ text: 'BEGIN' }, lock);
    },
  },
  'bank-stopped': {
    what: 'the bank stands still, and a payout is asked for',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      const yesterday = new Date(Date.now() - DAY_MS).toISOString();
      await shop.call(
        'POST',
        '/v1/transactions',
        transfer('cash:EUR', 'merchant_payable:EUR', { effective_at: yesterday }),
      );
      const run = await stage.operate('POST', '/v1/settlement_runs', { business_date: yesterday.slice(0, 10) });
      await stage.until('the day is settled', 60, async () => {
        const { status } = await stage.operate('GET', `/v1/settlement_runs/${run.id}`);
        return status === 'completed';
      });
      const stopped = stop([stage.bank.process.pid as number]);
      await shop.call('POST', '/v1/payouts', { currency: 'EUR', amount: '1', destination: 'bank_ok' });
      return stopped;
    },
  },
  'usage-locked': {
    what: 'somebody holds a lock on `merchant_usage` while a caller posts',
    harm: async (stage) => {
      const unlock = await stage.session(...statements('BEGIN', 'LOCK TABLE merchant_usage IN ACCESS EXCLUSIVE MODE'));
      const end = stage.keepOn(() => stage.post());
      return () => Promise.all([end(), unlock()]);
    },
  },
  strangers: {
    what: 'somebody sends keys of a merchant that it does not have',
    harm: async (stage) =>
      stage.keepOn(async () => {
        const headers = { authorization: `Bearer ${generateApiKey(BigInt(stage.merchant.id))}` };
        await (await fetch(`${stage.url}/v1/accounts`, { headers })).arrayBuffer();
      }, 4),
  },
  'webhook-away': {
    what: 'a receiver of webhooks is not there; then it is',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      const { url, listen } = await stage.receiver();
      await shop.call('POST', '/v1/webhook_endpoints', { url });
      await stage.post({}, shop);
      return listen;
    },
  },
};

async function discardAll(stage: Stage): Promise<void> {
  const { data } = await stage.operate('GET', '/v1/dead_letters?status=parked&limit=100');
  const decision = { by: 'drills', reason: 'a drill' };
  for (const { id } of data) await stage.operate('POST', `/v1/dead_letters/${id}/discard`, decision);
}

function statements(...texts: readonly string[]) {
  return texts.map((text) => ({ text }));
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It has ended.
    }
  }
}

function stop(pids: readonly number[]): () => void {
  signal(pids, 'SIGSTOP');
  return () => signal(pids, 'SIGCONT');
}

/** Returns how to end them. */
function pulses(pids: readonly number[], stoppedMs: number, awakeMs: number): () => void {
  let isOver = false;
  void (async () => {
    while (!isOver) {
      const go = stop(pids);
      await sleep(stoppedMs);
      go();
      await sleep(awakeMs);
    }
  })();
  return () => {
    isOver = true;
  };
}
