import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { generateApiKey } from '#tenancy/api-key.js';
import { childrenOf } from '../../bench/cpu.js';
import type { DrillName } from '../alert.js';
import { type Stage, transfer } from './stage.js';

/** Does it, and returns how it is healed. */
type Harm = (stage: Stage) => Promise<() => Promise<unknown> | unknown>;

const DAY_MS = 86_400_000;
/** The ledger has neither: two breaks, one of them of money that has left. */
const UNKNOWN_REPORT = `reference,object_ref,type,gross,fee,net,currency,occurred_at,batch
pay_1,,payment,4200,84,4116,EUR,${new Date().toISOString()},batch_1
,,payout,-406,,-406,EUR,${new Date().toISOString()},batch_2
`;

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
  'queue-refused': {
    what: 'the queue’s Redis drops its clients and takes no more (`maxclients`)',
    harm: async (stage) => {
      const [redis, restore] = await stage.reconfigure('queue', { maxclients: '1' });
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      return restore;
    },
  },
  'cache-evicts': {
    what: 'the cache’s Redis is told to evict whatever it likes (`allkeys-lru`)',
    harm: async (stage) => {
      const settings = { maxmemory: '64mb', 'maxmemory-policy': 'allkeys-lru' };
      const [, restore] = await stage.reconfigure('cache', settings);
      return restore;
    },
  },
  'fact-early': {
    what: 'a provider tells of a refund, and of its payment only later',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      const payment = { provider: 'acme', payment_ref: 'p1', currency: 'EUR', amount: '500' };
      const tell = (type: string) => {
        const fact = { ...payment, type, event_id: type, occurred_at: new Date().toISOString() };
        return shop.call('POST', '/v1/provider_events', fact);
      };
      await tell('refunded');
      return () => tell('authorised').then(() => tell('captured'));
    },
  },
  'report-unknown': {
    what: 'a processor reports a payment and a payout that nobody knows; then two operators write them off',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      await upload(stage, shop.id);
      return () => writeOff(stage, shop.id);
    },
  },
  'report-refused': {
    what: 'somebody adds a constraint by which no break can be written, and a report with breaks comes',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      await stage.sql.query('ALTER TABLE breaks ADD CONSTRAINT drill CHECK (false) NOT VALID');
      const { id } = await upload(stage, shop.id);
      return async () => {
        await stage.sql.query('ALTER TABLE breaks DROP CONSTRAINT drill');
        await stage.actFor(shop.id)('POST', `/v1/reconciliations/${id}/retry`);
        await writeOff(stage, shop.id);
      };
    },
  },
  'books-changed': {
    what: 'somebody with a superuser’s rights changes a balance, and the merchant’s books are checked; then they change it back',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      await stage.post({}, shop);
      const change = (by: number) =>
        stage.sql.query(`SET session_replication_role = replica;
          UPDATE balances SET posted_debits = posted_debits + ${by} WHERE merchant_id = ${shop.id} AND version > 0;
          RESET session_replication_role`);
      const check = () => stage.actFor(shop.id)('POST', '/v1/reconciliations?source=internal');
      await change(1);
      await check();
      return () => change(-1).then(check);
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
  'webhook-gone': {
    what: 'a receiver of webhooks answers 410, and its endpoint is disabled',
    harm: async (stage) => {
      const shop = await stage.openMerchant();
      const { url, listen } = await stage.receiver(410);
      await listen();
      const { id } = await shop.call('POST', '/v1/webhook_endpoints', { url });
      await stage.post({}, shop);
      return () => shop.call('DELETE', `/v1/webhook_endpoints/${id}`);
    },
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

function upload(stage: Stage, merchantId: string): Promise<{ id: string }> {
  return stage.actFor(merchantId)('POST', '/v1/reconciliations?source=generic&sla_days=0', UNKNOWN_REPORT);
}

/** Once the report is matched: who proposes it does not approve it. */
async function writeOff(stage: Stage, merchantId: string): Promise<void> {
  await stage.until('the report is matched', 60, async () => {
    const { data } = await stage.actFor(merchantId)('GET', '/v1/reconciliations?limit=1');
    return data[0].status === 'completed';
  });
  const propose = stage.actFor(merchantId, await stage.operatorKey());
  const approve = stage.actFor(merchantId, await stage.operatorKey());
  const { data } = await propose('GET', '/v1/breaks?status=open');
  for (const { id } of data) {
    await propose('POST', `/v1/breaks/${id}/propose`, { action: 'write_off', reason: 'a drill' });
    await approve('POST', `/v1/breaks/${id}/approve`, {});
  }
}

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
