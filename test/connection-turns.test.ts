import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { Database, type DatabaseOptions, type Scope } from '#platform/postgres.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/until.js';

let on: TestDatabase;
const opened: Database[] = [];

beforeAll(async () => {
  on = await freshDatabase();
});
afterEach(() => Promise.all(opened.splice(0).map((database) => database.close())));
afterAll(() => on.drop());

const [A, B, C] = [{ merchantIds: [1n] }, { merchantIds: [2n] }, { merchantIds: [3n] }];
const soon = () => Deadline.after(15_000);
const ONE = { text: 'SELECT 1 AS one' };
const SLOW = { text: 'SELECT pg_sleep(0.003)' };

function open(options: Partial<DatabaseOptions>): Database {
  const database = new Database(on.runtimeUrl, {
    poolSize: 2,
    connectTimeoutMs: 10_000,
    applicationName: 'turns',
    ...options,
  });
  opened.push(database);
  return database;
}

/** A connection in use until it is let go. */
async function hold(database: Database, scope: Scope): Promise<() => Promise<void>> {
  const [begun, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const over = database.transaction(scope, soon(), () => {
    begun.resolve();
    return held.promise;
  });
  await Promise.race([begun.promise, over]);
  return async () => {
    held.resolve();
    await over;
  };
}

/** Reads of these, which end in the order in which they got a connection. */
function reading(database: Database, order: string[], reads: [string, Scope][]): Promise<void>[] {
  return reads.map(async ([name, scope]) => {
    await database.transaction(scope, soon(), async (client) => {
      order.push(name);
      await client.query(ONE);
    });
  });
}

test('a merchant has no more than its connections; what is left is others’, and the platform’s', async () => {
  const database = open({ poolSize: 3, merchantConnections: 1 });
  const letGo = await hold(database, A);
  const order: string[] = [];
  const waiting = reading(database, order, [['A', A]]);
  await until('it waits', () => database.waiting === 1);
  const platform = await Promise.all([hold(database, 'platform'), hold(database, 'relay')]);
  await platform[0]();
  expect(await database.read(B, soon(), ONE)).toEqual([{ one: 1 }]);
  expect([order, database.waiting]).toEqual([[], 1]);
  await letGo();
  await Promise.all(waiting);
  await platform[1]();
});

test('whoever waits has a connection in turn by merchant, however many of another came before', async () => {
  const database = open({ poolSize: 1 });
  const letGo = await hold(database, A);
  const order: string[] = [];
  const reads = reading(database, order, [
    ['A', A],
    ['A', A],
    ['A', A],
    ['B', B],
    ['B', B],
    ['C', C],
    ['platform', 'platform'],
  ]);
  await until('all wait', () => database.waiting === 7);
  await letGo();
  await Promise.all(reads);
  expect(order).toEqual(['B', 'C', 'platform', 'A', 'B', 'A', 'A']);
});

test('whoever waits has as many turns as its weight is', async () => {
  // Nobody has all that it may, and waits for that.
  const database = open({ poolSize: 1, merchantConnections: 2, weightOf: (merchantId) => (merchantId === 2n ? 3 : 1) });
  const letGo = await hold(database, C);
  const order: string[] = [];
  const names = ['A', 'A', 'A', 'B', 'B', 'B', 'B', 'B', 'B'];
  const reads = reading(
    database,
    order,
    names.map((name) => [name, name === 'A' ? A : B]),
  );
  await until('all wait', () => database.waiting === names.length);
  await letGo();
  await Promise.all(reads);
  expect(order).toEqual(['A', 'B', 'B', 'B', 'A', 'B', 'B', 'B', 'A']);
});

test('the platform, which asks for many merchants at once, has several in its turn', async () => {
  const database = open({ poolSize: 1 });
  const letGo = await hold(database, A);
  const order: string[] = [];
  const names = ['B', 'B', 'B', 'platform', 'platform', 'platform'];
  const reads = reading(
    database,
    order,
    names.map((name) => [name, name === 'B' ? B : 'platform']),
  );
  await until('all wait', () => database.waiting === names.length);
  await letGo();
  await Promise.all(reads);
  expect(order).toEqual(['B', 'platform', 'platform', 'platform', 'B', 'B']);
});

test('whose deadline passes waits no longer: it is told so, and its turn is the next one’s', async () => {
  const database = open({ poolSize: 1 });
  const letGo = await hold(database, A);
  const late = database.read(B, Deadline.after(50), ONE);
  await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
  expect(database.waiting).toBe(0);
  const next = database.read(C, soon(), ONE);
  await letGo();
  expect(await next).toEqual([{ one: 1 }]);
  // The connection is free again.
  expect(await database.read(B, soon(), ONE)).toEqual([{ one: 1 }]);
});

test('a pool of two is enough for any number of merchants', async () => {
  const database = open({ poolSize: 2, merchantConnections: 1 });
  const reads = [A, B, C].flatMap((scope) => Array.from({ length: 50 }, () => database.read(scope, soon(), ONE)));
  expect(await Promise.all(reads)).toHaveLength(150);
  expect(database.waiting).toBe(0);
});

test('deadlines that pass at any moment lose no connection, and let in no more than there are, in all and of a merchant', async () => {
  const database = open({ poolSize: 2, merchantConnections: 1 });
  // Whoever is at work and in time: what is late has lost its connection, however long the work goes on.
  const atWork = new Set<Deadline>();
  let most = 0;
  const reads = Array.from({ length: 300 }, (_, index) => {
    const deadline = Deadline.after(1 + (index % 40));
    return database.transaction([A, B, C][index % 3] ?? A, deadline, async (client) => {
      atWork.add(deadline);
      most = Math.max(most, [...atWork].filter(({ expired }) => !expired).length);
      await client.query(SLOW).finally(() => atWork.delete(deadline));
    });
  });
  await Promise.allSettled(reads);
  expect(most).toBeLessThanOrEqual(2);
  // A connection that came too late is given back by whoever no longer waits for it.
  await until('nobody waits', () => database.waiting === 0);
  // None is lost, and A, which has all that it may, waits.
  const letGo = await Promise.all([hold(database, A), hold(database, B)]);
  await letGo[1]();
  const order: string[] = [];
  const waiting = reading(database, order, [['A', A]]);
  await until('A waits', () => database.waiting === 1);
  await Promise.all(reading(database, order, [['B', B]]));
  await letGo[0]();
  await Promise.all(waiting);
  expect(order).toEqual(['B', 'A']);
});

test('what fails gives its connection back', async () => {
  const database = open({ poolSize: 1 });
  await expect(database.read(A, soon(), { text: 'SELECT 1 / 0' })).rejects.toMatchObject({ code: '22012' });
  await expect(database.read(A, Deadline.after(100), { text: 'SELECT pg_sleep(60)' })).rejects.toMatchObject({
    code: 'deadline_exceeded',
  });
  await expect(database.transaction(A, soon(), async () => Promise.reject(new Error('of the work')))).rejects.toThrow(
    'of the work',
  );
  expect(await database.read(A, soon(), ONE)).toEqual([{ one: 1 }]);
});
