import { createServer } from 'node:net';
import { Module } from '@nestjs/common';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { EventBatch } from '#outbox/log/position.js';
import type { RelayTarget } from '#outbox/relay/relay.js';
import type { BringsRelayTargets, HearsApplied, Room } from '#outbox/room.js';
import { Deadline } from '#platform/deadline.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Metrics } from '#platform/metrics.js';
import type { BringsDuties, BringsMetrics } from '#platform/room-hooks.js';
import { followersOf, ROOMS } from '../apps/rooms.js';
import { freePort } from '../scripts/ports.mjs';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { readingOf } from './support/metrics.js';
import { until } from './support/until.js';
import { startWorker } from './support/worker.js';

let on: TestDatabase;
let ledger: TestLedger;
let rounds = 0;
const heard = new Set<string>();
const dispatched: EventBatch[] = [];

const target: RelayTarget = {
  consumer: 'tried',
  from: 'beginning',
  keepsPosition: false,
  batchSize: 10,
  dispatch: async (batches) => void dispatched.push(...batches),
};

/** Found twice, under two tokens: it is asked once all the same. */
@Module({ providers: [{ provide: 'tried', useExisting: TriedModule }] })
class TriedModule implements BringsDuties, BringsMetrics, BringsRelayTargets, HearsApplied {
  duties(): readonly DutyPlan[] {
    return [{ name: 'tried', intervalMs: 1, round: async () => (rounds += 1) }];
  }

  addMetrics(metrics: Metrics): void {
    metrics.counter('counterfoil_tried_total', 'Rounds.', () => rounds);
  }

  relayTargets(): readonly RelayTarget[] {
    return [target];
  }

  applied(consumer: string): void {
    heard.add(consumer);
  }
}

const rooms: readonly Room[] = [...ROOMS, { worker: async () => TriedModule, targets: [target.consumer] }];

beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
});
afterAll(async () => {
  await ledger.close();
  await on.drop();
});

test('what a room brings is at work in a worker, which was told of nothing but the room', async () => {
  const port = await freePort();
  const stop = await startWorker(on, { METRICS_PORT: String(port) }, { rooms });
  const merchant = await ledger.createMerchant();
  const from = await ledger.createAccount(merchant, { code: 'from' });
  const to = await ledger.createAccount(merchant, { code: 'to' });
  postedId(await ledger.post(merchant, transfer(from, to, 10n)));
  await until('its duty has had rounds', () => rounds > 1);
  await until('the relay has dispatched events to it', () => dispatched.length > 0);
  await until('it has heard of every consumer', () => ['daily_summaries', 'webhooks'].every((name) => heard.has(name)));
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(readingOf(text, 'counterfoil_tried_total')).toBeGreaterThan(1);
  await stop();
});

test('whoever follows the log is named by the rooms', async () => {
  const stop = await startWorker(on, { REDIS_URL: inject('redisUrl') }, { rooms });
  const followers = async (): Promise<string[]> => {
    const text = 'SELECT DISTINCT consumer FROM relay_cursors';
    const rows = await ledger.database.read<{ consumer: string }>('relay', Deadline.after(10_000), { text });
    return rows.map(({ consumer }) => consumer).sort();
  };
  const named = [...followersOf(rooms)].sort();
  expect(named).toContain('balances');
  await until('each relay has registered', async () => (await followers()).length >= named.length);
  expect(await followers()).toEqual(named);
  await stop();
});

test('where the port of the metrics is taken, nothing begins', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const before = rounds;
  const { port } = taken.address() as { port: number };
  await expect(startWorker(on, { METRICS_PORT: String(port) }, { rooms })).rejects.toThrow('EADDRINUSE');
  expect(rounds).toBe(before);
  await new Promise((resolve) => taken.close(resolve));
});
