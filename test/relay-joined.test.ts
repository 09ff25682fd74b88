import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EventBatch } from '#outbox/log/position.js';
import { JoinedStore } from '#outbox/relay/joined-store.js';
import { Relay, type RelayTarget } from '#outbox/relay/relay.js';
import { RelayLease } from '#outbox/relay/relay-lease.js';
import { type Handed, RelayStore } from '#outbox/relay/relay-store.js';
import { createLogger } from '#platform/logging.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';

const NAMES = ['one', 'two', 'three', 'four', 'five'];

let on: TestDatabase;
let ledger: TestLedger;
let lease: RelayLease;

beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  lease = new RelayLease(ledger.database, 60_000);
  await lease.renew();
});
afterAll(async () => {
  await lease.release();
  await ledger.close();
  await on.drop();
});

/** Counts transactions: each of its statements is one. */
class Counting extends RelayStore {
  /** Looks that found something, and how many targets they found it for. */
  found: number[] = [];
  moved: number[] = [];

  override async nextOf(...of: Parameters<RelayStore['nextOf']>): Promise<Map<string, EventBatch[]>> {
    const batches = await super.nextOf(...of);
    if (batches.size > 0) this.found.push(batches.size);
    return batches;
  }

  override moveOf(handed: ReadonlyMap<string, readonly Handed[]>): Promise<Map<string, Set<number>>> {
    this.moved.push(handed.size);
    return super.moveOf(handed);
  }
}

test('an event costs the relay two transactions, one look and one move of cursors, however many targets it has', async () => {
  const merchant = await ledger.createMerchant();
  const a = await ledger.createAccount(merchant, { code: 'a', minAvailable: null });
  const b = await ledger.createAccount(merchant, { code: 'b' });
  const store = new Counting(ledger.database);
  const dispatched: string[] = [];
  let isDown = false;
  const joined = new JoinedStore(store);
  const logger = createLogger({ level: 'silent', service: 'test' });
  const targetOf = (consumer: string): RelayTarget => ({
    consumer,
    from: 'now',
    keepsPosition: false,
    batchSize: 100,
    dispatch: async () => {
      if (isDown && consumer === 'three') throw new Error('not now');
      dispatched.push(consumer);
    },
  });
  const options = { busyMs: 5, idleMs: 20, resendMs: 60_000 };
  const relays = NAMES.map((name) => new Relay(targetOf(name), { store: joined, lease, logger }, options));
  const look = () => Promise.allSettled(relays.map((relay) => relay.round()));
  /** All rounds until the event is found: an open transaction of another database may hold it back. */
  const untilFound = (count: number) =>
    until('it is found', async () => {
      await look();
      return store.found.length === count;
    });
  await look();

  await ledger.post(merchant, transfer(a, b, 1n));
  await untilFound(1);
  expect([store.found, store.moved, dispatched.toSorted()]).toEqual([[5], [5], NAMES.toSorted()]);

  // A target that fails costs itself one more of each, and the others nothing.
  isDown = true;
  await ledger.post(merchant, transfer(a, b, 1n));
  await untilFound(2);
  expect([store.found, store.moved]).toEqual([
    [5, 5],
    [5, 4],
  ]);
  isDown = false;
  await untilFound(3);
  expect([store.found, store.moved, dispatched.length]).toEqual([[5, 5, 1], [5, 4, 1], 10]);
});
