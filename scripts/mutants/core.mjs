// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const RIGHTS = 'db/migrations/1764500100000-rights.ts';
const WRITER = 'test/writer.test.ts';
const EXTENSION = 'test/group-extension.test.ts';

/**
 * Planted bugs of the writer's bounds, its timeouts in SQL, expiry, leases and the rights of the database's roles.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const CORE_MUTANTS = [
  ...inFile('libs/kernel/src/snowflake.ts', 'libs/kernel/src/snowflake.spec.ts', [
    ['what needs an id fails for good where none can be issued', "super('overloaded',", "super('internal',"],
  ]),
  ...inFile('libs/ledger/src/writing/lines.ts', 'test/writer.test.ts', [
    ['a group has one request too many', 'if (waiting.length > 0 && cost', 'if (waiting.length > 1 && cost'],
  ]),
  ...inFile('db/migrations/1764500200000-event-places.ts', 'test/event-order.test.ts', [
    ['events stand where they like', 'FROM added WHERE xid <> here', 'FROM added WHERE false'],
  ]),
  ...inFile('libs/ledger/src/posting/decide.ts', 'test/replays.test.ts', [
    [
      'a hold is never too late',
      'if (command.expiresAtMs !== undefined && command.expiresAtMs <= snowflakeTimeMs(id)) {',
      'if (command.expiresAtMs === 0) {',
    ],
  ]),
  ...inFile('libs/ledger/src/writing/lane.ts', 'test/faults.test.ts', [
    ['a group that is not settled is unfenced', 'if (error instanceof Unsettled) fenced.leave(); else await', 'await'],
  ]),
  ...inFile('libs/kernel/src/business-day.ts', 'test/business-days.test.ts', [
    [
      'a skipped cut-off is moved by the gap',
      'Math.max(atMs, localMs - minutes * MINUTE_MS)',
      'localMs - minutes * MINUTE_MS',
    ],
    ['a cut-off at noon ends its own day', 'cutoffMs > NOON_MS', 'cutoffMs >= NOON_MS'],
    ['the clock is looked at too late', 'localMs - MOST_AHEAD_MS', 'localMs + HOUR_MS'],
    ['the end of a day is its own', 'if (atMs < end)', 'if (atMs <= end)'],
  ]),
  ...inFile('libs/platform/src/queues.ts', 'test/queues.test.ts', [
    ['databases share their queues', '`{counterfoil-${new URL(databaseUrl).pathname.slice(1)}}`', "'{counterfoil}'"],
    ['a queue that was opened in a bad moment never works', ', skipVersionCheck: true', ''],
    ['whoever looks writes', ', skipMetasUpdate: true', ''],
    ['who has worked once waits for a Redis that is away', '.finally(() => inHand.delete(ended))', ''],
  ]),
  ...inFile('libs/platform/src/due-work.ts', 'test/due-rows.test.ts', [
    ['a database that is away is the row’s failure', "is: isPassing(error) ? 'away' : 'failed'", "is: 'failed'"],
    [
      'what is not done is gone all the same',
      "outcomes.filter((outcome) => outcome.is === 'done');\n    const",
      'outcomes;\n    const',
    ],
    [
      'a row that keeps failing waits longer and longer',
      'Math.min(FIRST_WAIT_MS * 2 ** (attempts - 1), LONGEST_WAIT_MS)',
      'FIRST_WAIT_MS * 2 ** (attempts - 1)',
    ],
  ]),
  ...inFile('libs/platform/src/due-rows.ts', 'test/due-rows.test.ts', [
    ['two processes claim one row', ' WHERE r.try_at <= now())', ')'],
    ['claims wait for whoever changes a row', ' FOR UPDATE SKIP LOCKED', ' FOR UPDATE'],
    ['merchants take no turns', ' ORDER BY turn, try_at LIMIT', ' ORDER BY try_at LIMIT'],
    [
      'whoever slept past a lease settles',
      'WHERE r.due_at = k.due_at AND r.attempts = k.attempts',
      'WHERE r.due_at = k.due_at',
    ],
    [
      'a new time is taken away with the old one',
      'WHERE r.due_at = k.due_at AND r.attempts = k.attempts',
      'WHERE r.attempts = k.attempts',
    ],
    ['enqueueing again forgets failures', '  WHERE d.due_at <> excluded.due_at`', '`'],
  ]),
  ...inFile('libs/ledger/src/writing/group-parameters.ts', 'test/duties.test.ts', [
    ['a hold that ended stays due', '...(ended.length > 0 ?', '...(ended.length > 1_000 ?'],
  ]),
  ...inFile('libs/platform/src/idempotency.ts', 'test/idempotency.test.ts', [
    [
      'a kept refusal keeps what was written before it',
      "await client.query({ text: 'ROLLBACK TO SAVEPOINT before_work' });",
      '',
    ],
  ]),
  ...inFile('libs/ledger/src/writing/writer.ts', WRITER, [
    ['merchants share idempotency keys in flight', '`${merchantId}:${idempotency.key}`', 'idempotency.key'],
  ]),
  ...inFile('libs/ledger/src/writing/lane.ts', WRITER, [
    ['held answers fill no lane', 'this.#lines.publishing(held);', ''],
  ]),
  ...inFile('libs/ledger/src/writing/group-store.ts', WRITER, [
    [
      'a group may leave out a balance',
      'SELECT check_moved_balances(cardinality($42::bigint[]), count(*)) FROM moved',
      'SELECT count(*) FROM moved',
    ],
    ['a group waits for locks without end', "set_config('statement_timeout', $2, true)", "'none'"],
  ]),
  ...inFile('libs/ledger/src/writing/group-draft.ts', EXTENSION, [
    ['what was undone is written', 'this.#journal.undo(mark);', ''],
    [
      'an extension does not see what the group decided before',
      'learn: (key, value) => this.#journal.set(known, nameOf(merchantId, key), value)',
      'learn: () => undefined',
    ],
    [
      'an extension sees what was undone',
      'this.#journal.set(known, nameOf(merchantId, key), value)',
      'void known.set(nameOf(merchantId, key), value)',
    ],
    ['rows by themselves are not written', 'balances.length + statements.length + keys', 'balances.length + keys'],
    ['a statement goes out without rows', 'if (rows.length === 0) return [];', ''],
  ]),
  ...inFile('libs/ledger/src/writing/group.ts', EXTENSION, [
    ['an extension that throws takes its group with it', "return { kind: 'failed', error };", 'throw error;'],
  ]),
  ...inFile('libs/ledger/src/writing/lane.ts', EXTENSION, [
    ['a row that is there already fails the group', 'isUniqueViolation(error) || ', ''],
    [
      'who failed is told nothing of it',
      "if (outcome.kind === 'failed') waiting.reject(outcome.error); else waiting",
      'waiting',
    ],
  ]),
  ...inFile('libs/ledger/src/writing/group-store.ts', EXTENSION, [
    [
      'the rows of an extension commit by themselves',
      "...writes.statements.map((statement) => this.#client.query(named(statement))), this.#client.query('COMMIT'),",
      "this.#client.query('COMMIT'), ...writes.statements.map((statement) => this.#client.query(named(statement))), this.#client.query('COMMIT'),",
    ],
    ['two statements share a name', '`extension-${NAMES.size}`', "'extension'"],
  ]),
  ...inFile('libs/ledger/src/writing/group-store.ts', 'test/faults.test.ts', [
    ['a silent writer keeps its locks', "set_config('idle_in_transaction_session_timeout', $2, true)", "'none'"],
  ]),
  ...inFile('libs/platform/src/postgres.ts', 'test/pool.test.ts', [
    ['statements run on without end', "set_config('statement_timeout', $3, true), ", ''],
    ['a silent transaction stays open', ", set_config('idle_in_transaction_session_timeout', $3, true)", ''],
  ]),
  ...inFile('libs/platform/src/worker-lease.ts', 'test/worker-lease.test.ts', [
    ['a renewed lease ends later than is stored', '= rows[0].issuable_until;', '= rows[0].issuable_until + 1_000;'],
  ]),
  ...inFile('db/migrations/1763740000000-ledger.ts', 'test/grants.test.ts', [
    [
      'history can be deleted',
      'GRANT UPDATE (revoked_at)',
      'GRANT DELETE ON transaction_states, late_sums TO counterfoil_runtime; GRANT UPDATE (revoked_at)',
    ],
    [
      'idempotency keys can be changed',
      'GRANT UPDATE (revoked_at)',
      'GRANT UPDATE ON idempotency_keys TO counterfoil_runtime; GRANT UPDATE (revoked_at)',
    ],
  ]),
  ...inFile(RIGHTS, 'test/temporary-tables.test.ts', [
    ['a temporary table takes the place of entries', "  'check_balances()',\n", ''],
  ]),
  ...inFile(RIGHTS, 'test/event-retention.test.ts', [
    ['retention is open to any scope', 'ON events AS RESTRICTIVE TO', 'ON events AS PERMISSIVE TO'],
    ['events of today are forgotten', "USING (occurred_at < now() - interval '1 day')", 'USING (true)'],
  ]),
];
