// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import { inFile, mutantsOf } from './mutant.mjs';

const OUTBOX = ['test/outbox.test.ts'];
const relayStore = mutantsOf('libs/outbox/src/relay/relay-store.ts', OUTBOX);
const positions = mutantsOf('libs/outbox/src/consumers/position-store.ts', OUTBOX);
const applier = mutantsOf('libs/outbox/src/consumers/batch-applier.ts', OUTBOX);
const redriver = mutantsOf('libs/outbox/src/dead-letters/redriver.ts', OUTBOX);

/** Planted bugs of the relay and its consumers. */
export const OUTBOX_MUTANTS = [
  relayStore('the cursor passes over transactions that commit late', ' AND xid < ${LOG_HORIZON}', ''),
  relayStore(
    'the relay reads a partition from its beginning',
    `'CASE WHEN a.consumer IS NULL THEN c.xid ELSE a.xid END'`,
    `'coalesce(a.xid, c.xid)'`,
    ['test/outbox-plans.test.ts'],
  ),
  mutantsOf('libs/platform/src/postgres.ts', ['test/outbox-plans.test.ts'])(
    'the whole backlog is sorted',
    `const walks = scope === 'relay' ||`,
    `const walks = false ||`,
  ),
  relayStore('a lease is not fenced', 'WHERE h.epoch = m.epoch ORDER', 'WHERE h.epoch IS NOT NULL ORDER'),
  relayStore(
    'what was dispatched and lost is not dispatched again',
    `        OR c.handed_at < now() - $4::int * interval '1 millisecond')`,
    '        OR $4::int < 0)',
  ),
  ...inFile('libs/outbox/src/relay/joined-store.ts', 'test/relay-joined.test.ts', [
    ['each target looks by itself', '`${what.partitions} ${what.limits.resendMs}`', '({ what })'],
    [
      'each target moves its cursors by itself',
      'if (this.#dispatching.size === 0)',
      'if (this.#dispatching.size >= 0)',
    ],
  ]),
  ...inFile('libs/outbox/src/relay/joined-store.ts', 'libs/outbox/src/relay/joined-store.spec.ts', [
    [
      'who failed to dispatch is waited for',
      '// Who failed to dispatch what it found comes back here.\n    this.#dispatching.delete(consumer);',
      '',
    ],
    [
      'who found turns of merchants alone is waited for',
      'if (its.some(({ merchantId }) => merchantId === undefined)) this',
      'this',
    ],
    ['cursors are waited for once, and then for ever', 'clearTimeout(this.#timer);\n    this.#timer = undefined;', ''],
  ]),
  ...inFile('libs/outbox/src/relay/relay-lease.ts', 'test/relay-locks.test.ts', [
    [
      'leases are renewed in no order',
      `FROM (SELECT partition FROM relay_partitions WHERE holder = $1 ORDER BY partition FOR UPDATE) held
 WHERE p.partition = held.partition RETURNING`,
      'WHERE p.holder = $1 RETURNING',
    ],
    ['members that have run out wait for each other', 'FOR UPDATE SKIP LOCKED) gone', 'FOR UPDATE) gone'],
  ]),
  ...inFile('db/migrations/1765020100100-merchants-apart.ts', 'test/retention-holds.test.ts', [
    [
      'events are forgotten that a consumer has not applied',
      'UNION ALL SELECT xid, seq FROM consumer_positions WHERE partition = of_partition',
      '',
    ],
    [
      'events are forgotten that a waiting stream needs',
      'UNION ALL SELECT xid, seq FROM parked_streams WHERE partition = of_partition',
      '',
    ],
    [
      'events are forgotten that have not been dispatched',
      'SELECT xid, seq FROM relay_cursors WHERE partition = of_partition UNION ALL',
      '',
    ],
  ]),
  ...inFile('db/migrations/1765040100000-epoch-of-each-start.ts', 'test/log-epochs.test.ts', [
    ['files of a stopped server that are put back go on in their epoch', 'IF ${and}is_server_of', 'IF is_server_of'],
    ['an epoch is begun by each who comes at once', 'LOCK TABLE log_epochs IN SHARE ROW EXCLUSIVE MODE;', ''],
    [
      'an epoch begins at the present, whatever the log holds',
      'greatest(last + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)',
      '(extract(epoch FROM clock_timestamp()) * 1000000)::bigint',
    ],
  ]),
  ...inFile('db/migrations/1764410000000-log-epochs.ts', 'test/log-epochs.test.ts', [
    [
      'on a server that has not appended nothing of what was moved can be read',
      'pg_postmaster_start_time() OR is_server_of(newest) THEN',
      'pg_postmaster_start_time() OR true THEN',
    ],
    [
      'the horizon is one too far',
      '(newest.xid_offset + pg_snapshot_xmin(pg_current_snapshot())::text::bigint)::text::xid8',
      '(newest.xid_offset + pg_snapshot_xmin(pg_current_snapshot())::text::bigint + 1)::text::xid8',
    ],
    [
      'the horizon is one too near',
      '(newest.xid_offset + pg_snapshot_xmin(pg_current_snapshot())::text::bigint)::text::xid8',
      '(newest.xid_offset + pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text::xid8',
    ],
  ]),
  ...inFile('libs/summaries/src/rebuild-store.ts', 'test/retention-holds.test.ts', [
    [
      'a rebuild at work loses its positions',
      'WHERE claimed_until < now() ORDER BY name FOR UPDATE)',
      'ORDER BY name FOR UPDATE)',
    ],
  ]),
  ...inFile('libs/outbox/src/consumers/batch-applier.ts', 'test/reactor-crashes.test.ts', [
    [
      'the position moves before a reactor has had its effect',
      'const done = page.due.length > 0 ?',
      `await this.#transaction(range.whose, (client) => position.move(client, claim.position, page.end, true));
    const done = page.due.length > 0 ?`,
    ],
  ]),
  ...inFile('libs/outbox/src/consumers/reactions.ts', 'test/reactors.test.ts', [
    [
      'the key of an effect is not derived from its event',
      'this.#key = `reaction ${reactor} ${event.xid} ${event.seq}`;',
      'this.#key = `reaction ${reactor} ${performance.now()} ${event.seq}`;',
    ],
    [
      'the effects of all events have one key',
      'this.#key = `reaction ${reactor} ${event.xid} ${event.seq}`;',
      'this.#key = `reaction ${reactor} 1 1`;',
    ],
    [
      'a refusal burns the key of an effect',
      "requestSha256: hash('sha256', key, 'buffer'), keepsRefusals: false }",
      "requestSha256: hash('sha256', key, 'buffer') }",
    ],
    [
      'a refused effect passes for done',
      "if ('result' in reply && 'refusal' in reply.result) {",
      "if ('result' in reply && 'refused' in reply.result) {",
    ],
    [
      'a reactor that hangs is waited for',
      'deadline.race(this.#reactor.react(event, reaction))',
      'this.#reactor.react(event, reaction)',
    ],
    ['a reactor begins with all of the log, whatever it says', 'this.from = from;', "this.from = 'beginning';"],
    ['the key of a dead letter is purged', "AND d.status IN ('parked', 'redriving', 'discarding'))", 'AND false)'],
    [
      'the key of what waits behind a dead letter is purged',
      "WHERE s.merchant_id = k.merchant_id AND s.consumer = split_part(k.key, ' ', 2))",
      'WHERE false)',
    ],
    [
      'the key of what the position is not past is purged',
      "AND (p.xid, p.seq) < (split_part(k.key, ' ', 3)::xid8, split_part(k.key, ' ', 4)::bigint))",
      'AND false)',
    ],
  ]),
  ...inFile('libs/outbox/src/dead-letters/redriver.ts', 'test/reactors.test.ts', [
    [
      'a stream that others have gone on with is moved by who slept',
      'if (!after || !isSame(after, waiting.after) || !isSame(level, waiting.through)) {',
      'if (!after || !level) {',
    ],
    [
      'a letter of a reactor is settled without its effect',
      'if (event) await this.#consumer.react',
      'if (false) await this.#consumer.react',
    ],
  ]),
  ...inFile('libs/platform/src/idempotency.ts', 'test/reactors.test.ts', [
    ['refusals are kept, whatever was asked for', ' || idempotency?.keepsRefusals === false', ''],
  ]),
  ...inFile('libs/ledger/src/duties/purge.ts', 'test/reactors.test.ts', [
    ['keys of reactions that may come again are purged by age', ' AND NOT ${MAY_REACT_AGAIN}', ''],
  ]),
  ...inFile('libs/platform/src/room-hooks.ts', 'test/rooms.test.ts', [
    [
      'of what rooms bring the worker finds the metrics alone',
      "typeof instance?.[hook] === 'function'",
      "hook === 'addMetrics' && typeof instance?.[hook] === 'function'",
    ],
  ]),
  ...inFile('libs/platform/src/duty.ts', 'libs/platform/src/duty.spec.ts', [
    ['what a later round makes good is an error', 'const PERSISTS_FROM = 3;', 'const PERSISTS_FROM = 1;'],
    ['failures add up although rounds go well', 'this.#failures = 0;', ''],
  ]),
  mutantsOf('libs/outbox/src/relay/relay-spans.ts', OUTBOX)(
    'the cursor moves before the events are dispatched',
    'await target.dispatch(named, leader);',
    'queueMicrotask(() => target.dispatch(named, leader));',
  ),
  mutantsOf('libs/outbox/src/consumers/consumer-queue.ts', OUTBOX)(
    'a job that has failed often waits for minutes',
    'longestMs: 1_000',
    'longestMs: 100_000',
  ),
  positions(
    'a position moves without its claim',
    'AND claimed_by = $3 AND xid = $5 AND seq = $6',
    'AND $3::uuid IS NOT NULL AND $5::xid8 IS NOT NULL AND $6::bigint IS NOT NULL',
    ['test/consumer-claims.test.ts'],
  ),
  positions('a try is not counted', 'tries = tries + CASE WHEN ${OWN_EXPIRED} THEN 0 ELSE 1 END,', 'tries = 1,'),
  positions(
    'a try that the database did not let end counts',
    "'claimed_by = $3 AND claimed_until > to_timestamp(0)'",
    "'claimed_by = $3 AND false'",
    ['test/consumer-claims.test.ts'],
  ),
  positions(
    'a process that lost its claim counts its failure',
    'tries = CASE WHEN $5 THEN tries ELSE greatest(tries - 1, 0) END WHERE consumer = $1 AND ${key} = $2 AND claimed_by = $3',
    'tries = CASE WHEN $5 THEN tries ELSE greatest(tries - 1, 0) END WHERE consumer = $1 AND ${key} = $2 AND $3::uuid IS NOT NULL',
    ['test/consumer-claims.test.ts'],
  ),
  mutantsOf('libs/outbox/src/consumers/handler-call.ts', OUTBOX)(
    'a slow database is the fault of the events',
    'return !this.#isRunning || this.#waits > 0;',
    'return false;',
  ),
  mutantsOf('libs/outbox/src/consumers/handler-call.ts', OUTBOX)(
    'a handler that hangs is tried for ever',
    'return !this.#isRunning || this.#waits > 0;',
    'return true;',
  ),
  mutantsOf('libs/outbox/src/log/hints.ts', ['test/hint.test.ts'])(
    'hints are subscribed to once',
    "if (this.#redis.status === 'ready') void this.#subscribe(channel);",
    '',
  ),
  ...inFile('libs/outbox/src/log/hints.ts', 'test/hint.test.ts', [
    ['what was told before the subscription is not looked for', 'this.#onHint();', ''],
    ['who knows already is told as well', "knownTo === '' || knownTo !== name", 'true'],
    [
      'a hint without a connection is lost',
      "this.#isLost = this.#redis.status !== 'ready'; if (this.#isLost) return;",
      "if (this.#redis.status !== 'ready') return;",
    ],
    ['a hint that Redis refuses is lost', 'catch(() => { this.#isLost = true;', 'catch(() => {'],
  ]),
  ...inFile('libs/outbox/src/consumers/consumer-host.ts', 'test/applied.test.ts', [
    ['what a lost answer told of is told by nobody', "outcome.outcome !== 'busy'", 'outcome.events > 0'],
    ['what an earlier try left is forgotten', 'outcome.events > 0 && job.attemptsStarted === 1', 'outcome.events > 0'],
    ['who lost an answer knows all', 'outcome.events > 0 && job.attemptsStarted === 1', 'job.attemptsStarted > 0'],
  ]),
  applier(
    'the position moves before the effect',
    'await position.move(client, claim.position, end, isBefore(end, range.through)); await goApart',
    'await this.#transaction(range.whose, (own) => position.move(own, claim.position, end, isBefore(end, range.through))); await goApart',
  ),
  applier('poison is tried for ever', 'isOneByOne && held.tries > this.#options.maxTries', 'false'),
  applier('a stream goes on past its dead letter', 'parked.size === 0 ? events', 'parked.size >= 0 ? events'),
  applier(
    'neighbours are not told apart from poison',
    'isOneByOne ? 1 : this.#options.pageEvents',
    'this.#options.pageEvents',
  ),
  redriver('a stream that has not caught up waits no longer', 'hasAll: events.length < limit }', 'hasAll: true }'),
  redriver(
    'a stream longer than a page goes on from the first event of each page',
    'hasAll ? undefined : events.at(-1)',
    'hasAll ? undefined : events[0]',
  ),
  mutantsOf('libs/outbox/src/dead-letters/dead-letter-store.ts', ['test/dead-letters.test.ts'])(
    'a stream goes on while its dead letter is parked',
    `AND d.status IN ('parked', 'redriving', 'discarding'))`,
    `AND d.status IN ('redriving', 'discarding'))`,
  ),
  mutantsOf('libs/outbox/src/consumers/consumer-host.ts', OUTBOX)(
    'a stream whose handler ends the process is tried for ever',
    'const isSuspect = this.#suspects.has(merchantId);',
    'const isSuspect = false;',
  ),
  ...inFile('libs/balances/src/invalidation.ts', 'test/balance-invalidation.test.ts', [
    ['the log tells the cache nothing', 'await this.#client.run( rows.map(', 'await this.#client.run([].map('],
  ]),
];
