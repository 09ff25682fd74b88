import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ClaimLost, ConsumerPosition } from '#outbox/consumers/position-store.js';
import { BEGINNING } from '#outbox/log/position.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { Deadline } from '#platform/deadline.js';
import type { TransactionClient } from '#platform/postgres.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';

let on: TestDatabase;
let ledger: TestLedger;
let admin: pg.Client;

beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  admin = new pg.Client({ connectionString: on.ownerUrl });
  await admin.connect();
});
afterAll(async () => {
  await ledger.close();
  await admin.end();
  await on.drop();
});

const through = { xid: 9n, seq: 9n };
const within = <T>(work: (client: TransactionClient) => Promise<T>) =>
  ledger.database.transaction('relay', Deadline.after(20_000), work);
const claimants = (consumer: string) =>
  [randomUUID(), randomUUID()].map(
    (claimant) => new ConsumerPosition(consumer, { partition: 7 }, claimant, 60_000),
  ) as [ConsumerPosition, ConsumerPosition];
const register = (consumer: string) =>
  new RelayStore(ledger.database).register(consumer, { from: 'beginning', keepsPosition: true });
const expire = (consumer: string) =>
  admin.query(`UPDATE consumer_positions SET claimed_until = now() - interval '1 s' WHERE consumer = $1`, [consumer]);

test('a consumer that slept past its claim commits nothing, whatever it has in hand', async () => {
  await register('claimed');
  const [sleeper, other] = claimants('claimed');
  const from = await within((client) => sleeper.claim(client, through));
  expect(await within((client) => other.claim(client, through))).toBeUndefined();
  await expire('claimed');
  const claim = await within((client) => other.claim(client, through));
  expect(claim).toMatchObject({ position: from?.position, tries: 2, oneByOneThrough: through });
  const late = within((client) => sleeper.move(client, BEGINNING, through, false));
  await expect(late).rejects.toBeInstanceOf(ClaimLost);
  await within((client) => other.move(client, BEGINNING, through, false));
  expect(await within((client) => other.claim(client, through))).toBeUndefined();
});

describe('a try of a claim that ran out', () => {
  test('is not counted, nor its error noted, by the process that lost the claim to another', async () => {
    await register('overtaken');
    const [sleeper, other] = claimants('overtaken');
    await within((client) => sleeper.claim(client, through));
    await expire('overtaken');
    await within((client) => other.claim(client, through));
    const row = `SELECT * FROM consumer_positions WHERE consumer = 'overtaken' AND partition = 7`;
    const before = (await admin.query(row)).rows;
    await within((client) => sleeper.fail(client, 'too late', true));
    await within((client) => sleeper.fail(client, 'too late', false));
    await within((client) => sleeper.release(client));
    expect((await admin.query(row)).rows).toEqual(before);
  });

  test('does not count when its own process claims next: what kept it from telling the end was the database', async () => {
    await register('unrecorded');
    const [one, other] = claimants('unrecorded');
    for (let outage = 0; outage < 3; outage += 1) {
      expect(await within((client) => one.claim(client, through))).toMatchObject({
        tries: 1,
        oneByOneThrough: BEGINNING,
      });
      await expire('unrecorded');
    }
    expect(await within((client) => other.claim(client, through))).toMatchObject({
      tries: 2,
      oneByOneThrough: through,
    });
    await within((client) => other.fail(client, 'poison', true));
    expect(await within((client) => other.claim(client, through))).toMatchObject({ tries: 3, lastError: 'poison' });
  });
});
