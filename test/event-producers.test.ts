import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MerchantLog } from '#outbox/log/append.js';
import { CATALOGUE, type EventType } from '#outbox/log/catalogue.js';
import { Deadline } from '#platform/deadline.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { PRODUCERS } from './support/event-producers.js';
import { TestLedger } from './support/ledger.js';
import { until } from './support/until.js';
import { TestWebhooks } from './support/webhooks.js';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SOURCES = globSync('{apps,libs,db,scripts}/**/*.{ts,mjs}', {
  cwd: ROOT,
  exclude: ['**/*.spec.ts', 'scripts/mutants/**'],
});
const sourcesWith = (pattern: RegExp): string[] =>
  SOURCES.filter((file) => pattern.test(readFileSync(join(ROOT, file), 'utf8'))).sort();

const TYPES = Object.keys(PRODUCERS) as EventType[];
const ROWS = TYPES.flatMap((type) => PRODUCERS[type].map((producer) => ({ type, ...producer })));
const DOOR = 'libs/outbox/src/log/append.ts';

test('there is one INSERT INTO events', () => {
  expect(SOURCES.length).toBeGreaterThan(200);
  expect(sourcesWith(/insert\s+into\s+(only\s+)?(public\s*\.\s*)?"?events\b/i)).toEqual([DOOR]);
});

test('every type of the catalogue and every file that appends is tried below', () => {
  expect([...TYPES].sort()).toEqual(Object.keys(CATALOGUE).sort());
  const appending = sourcesWith(/\bMerchantLog\.lock\(|\binsertEvents\(/).filter((file) => file !== DOOR);
  expect([...new Set(ROWS.map(({ file }) => file))].sort()).toEqual(appending);
});

/** Who first comes to commit an event waits there while the gate is closed; who comes later goes past. */
const GATE = `
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF pg_try_advisory_xact_lock(1, 1) THEN PERFORM pg_advisory_xact_lock(1, 2); END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_gate();`;

/** What the other process appends, so that it can be told from what is tried. */
const MARK = '987654321';

describe('two processes that append to one merchant’s log stand in it as they committed:', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let hooks: TestWebhooks;
  let other: TestLedger;

  beforeAll(async () => {
    on = await freshDatabase();
    [bystander, hooks, other] = await Promise.all([Bystander.open(on), TestWebhooks.open(on), TestLedger.open(on)]);
    await bystander.client.query(GATE);
  });
  afterAll(async () => {
    await Promise.all([hooks.close(), other.close(), bystander.close()]);
    await on.drop();
  });

  const appendThere = (merchantId: bigint) =>
    other.database.transaction({ merchantIds: [merchantId] }, Deadline.after(60_000), async (client) => {
      const log = await MerchantLog.lock(client, merchantId);
      await log.append({
        type: 'account.closed',
        data: { account_id: MARK },
        occurredAtMs: Date.now(),
        traceContext: undefined,
      });
    });

  const waiting = async (): Promise<number> => {
    const { count } = await bystander.one<{ count: number }>(
      `SELECT count(DISTINCT l.pid)::int FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE NOT l.granted AND a.datname = current_database()`,
    );
    return count;
  };

  /** Holds the first one up when all it has to do is commit, and lets the second one go as far as it can. Returns whether it overtook. */
  async function race(first: () => Promise<unknown>, second: () => Promise<unknown>): Promise<boolean> {
    await bystander.client.query('SELECT pg_advisory_lock(1, 2)');
    const committed: string[] = [];
    let failure: unknown;
    const run = (name: string, act: () => Promise<unknown>) =>
      act().then(
        () => void committed.push(name),
        (error) => {
          failure = error;
        },
      );
    const ended = [run('first', first)];
    let overtook = false;
    try {
      await until('the first one is about to commit', async () => failure !== undefined || (await waiting()) === 1);
      ended.push(run('second', second));
      await until('the second one has committed, or waits', async () => {
        overtook = committed.length > 0;
        return failure !== undefined || overtook || (await waiting()) === 2;
      });
    } finally {
      await bystander.client.query('SELECT pg_advisory_unlock(1, 2)');
      await Promise.all(ended);
    }
    if (failure !== undefined) throw failure;
    return overtook;
  }

  const logOf = async (merchantId: bigint): Promise<string[]> => {
    const { events } = await bystander.one<{ events: string[] }>(
      `SELECT coalesce(array_agg(CASE data ->> 'account_id' WHEN $2 THEN 'there' ELSE type END ORDER BY xid, seq), '{}') AS events
         FROM events WHERE merchant_id = $1`,
      [merchantId, MARK],
    );
    return events;
  };

  describe.each(ROWS)('$type of $file', ({ type, beside, prepare }) => {
    test.each(['first', 'second'])('%s', async (place) => {
      const { merchantId, act } = await prepare({ hooks, bystander });
      const before = (await logOf(merchantId)).length;
      const turns = [act, () => appendThere(merchantId)] as const;
      const [first, second] = place === 'first' ? turns : turns.toReversed();
      const overtook = await race(first as typeof act, second as typeof act);
      const order = place === 'first' ? [type, 'there'] : ['there', type];
      const events = (await logOf(merchantId)).slice(before).filter((event) => event !== beside);
      const runs = events.filter((event, index, all) => event !== all[index - 1]);
      expect(runs).toEqual(overtook ? order.toReversed() : order);
    });
  });
});
