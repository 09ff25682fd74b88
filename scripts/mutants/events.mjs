// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const EVENTS = 'test/events.test.ts';
const PRODUCERS = 'test/event-producers.test.ts';

/**
 * Planted bugs of the event log: its order, its versions, and how it is followed.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const EVENT_MUTANTS = [
  inFile('db/migrations/1764502000000-merchant-locks.ts', PRODUCERS, [
    ['a process overtakes another one in the log', 'PERFORM pg_advisory_xact_lock(id) FROM', 'PERFORM id FROM'],
  ]),
  inFile('db/migrations/1764502000000-merchant-locks.ts', 'test/event-order.test.ts', [
    [
      'a merchant is locked by who has a place in the log',
      'IF pg_current_xact_id_if_assigned() IS NOT NULL',
      'IF false',
    ],
    ['an event is appended without the lock', 'WHERE merchant_id <> ALL (locked)', 'WHERE false'],
    ['who holds one merchant’s lock appends to all', 'merchant_id <> ALL (locked)', "locked = '{}'"],
  ]),
  inFile('libs/outbox/src/log/append.ts', PRODUCERS, [
    ['an append forgets the lock', 'await client.query({ ...LOCK_MERCHANTS, values: [int8Array([merchantId])] });', ''],
    [
      'an append locks nobody',
      "text: 'SELECT lock_merchants($1)'",
      "text: `SELECT set_config('counterfoil.locked_merchants', $1::bigint[]::text, true)`",
    ],
  ]),
  inFile('libs/ledger/src/accounts/create-account.command.ts', PRODUCERS, [
    [
      'an account is opened before the lock is taken',
      'const log = await MerchantLog.lock(client, merchantId);',
      "await client.query({ text: 'SELECT pg_current_xact_id()' });\n          const log = await MerchantLog.lock(client, merchantId);",
    ],
  ]),
  inFile('libs/webhooks/src/delivery-store.ts', PRODUCERS, [
    [
      'an endpoint is disabled by who has no lock',
      'values: [...values, false, isLast,',
      'values: [...values, true, isLast,',
    ],
  ]),
  inFile('libs/outbox/src/log/event-log.ts', EVENTS, [
    ['open transactions are read past', '`e.xid < ${LOG_HORIZON}`', "'true'"],
    [
      'a cursor is a sequence number',
      '(e.xid, e.seq) > ($2::xid8, $3::bigint) AND ${SETTLED} ORDER BY e.xid, e.seq LIMIT $4',
      'e.seq > $3::bigint AND $2::xid8 IS NOT NULL AND ${SETTLED} ORDER BY e.seq LIMIT $4',
    ],
    [
      'a page begins with the last event again',
      '(e.xid, e.seq) > ($2::xid8, $3::bigint)',
      '(e.xid, e.seq) >= ($2::xid8, $3::bigint)',
    ],
  ]),
  inFile('libs/outbox/src/log/event-log.ts', 'test/event-retention.test.ts', [
    [
      'who has read all that was forgotten is refused',
      'event_horizons WHERE merchant_id = $1 AND (xid, seq) > ($2::xid8, $3::bigint)',
      'event_horizons WHERE merchant_id = $1 AND (xid, seq) >= ($2::xid8, $3::bigint)',
    ],
  ]),
  inFile('libs/outbox/src/log/event-schema.ts', 'libs/outbox/src/log/event-schema.spec.ts', [
    ['an upcaster is left out', 'this.versions.slice(from)', 'this.versions.slice(from + 1)'],
    ['a shape is its prose', "key === 'description' && typeof inner === 'string'", 'key'],
  ]),
  inFile('libs/outbox/src/log/catalogue.ts', 'libs/outbox/src/log/event-schema.spec.ts', [
    ['a version from the future is read as today’s', '|| version > schema.version', ''],
  ]),
  inFile('libs/outbox/src/log/catalogue.ts', 'test/catalogue.test.ts', [
    ['a shape changes in place', 'z.strictObject({ account_id: id });', 'z.strictObject({ account_id: id, why: id });'],
    ['an old version is not upcast', '({ ...before, expires_at: null })', '({ ...before, expires_at: undefined })'],
  ]),
  inFile('libs/ledger/src/writing/events.ts', EVENTS, [
    [
      'the writer tells what the catalogue does not',
      'transaction_id: String(id),',
      "transaction_id: String(id), extra: '1',",
    ],
    ['the writer leaves out what the catalogue promises', 'external_ref: externalRef ?? null,', ''],
  ]),
  inFile('libs/outbox/src/log/log-watch.ts', EVENTS, [
    ['one merchant takes all the places', 'own >= this.#options.followersPerMerchant ||', ''],
    ['those who leave keep their places', 'this.#followerCount -= 1;', ''],
    ['nobody looks but for own commits', 'this.#schedule(this.#delayMs());', ''],
  ]),
  inFile('apps/api/src/events/events.controller.ts', EVENTS, [
    ['cursors are anybody’s', "cursorScope(context.merchantId, 'events')", "cursorScope('platform', 'events')"],
    ['a revoked key waits to its end', 'if (!(await isStillAdmitted(request))) throw', 'if (false) throw'],
    ['who goes away waits on', "reply.raw.once('close', () => gone.abort());", ''],
    ['waiting goes on while the process goes down', 'shutdown.onDrain(() => watch.close());', 'void shutdown;'],
  ]),
  inFile('apps/api/src/events/events.controller.ts', 'test/event-stream.test.ts', [
    ['a stream outlives its key', '&& (await isStillAdmitted(request))', ''],
    ['Last-Event-ID is ignored', "[lastId, 'Last-Event-ID'] : [after", "[after, 'after'] : [after"],
  ]),
  inFile('apps/api/src/events/event-stream.ts', 'apps/api/src/events/event-stream.spec.ts', [
    ['a stream reads ahead of its reader', 'highWaterMark: 1', 'highWaterMark: 1_000'],
    ['a reader who does not read keeps the stream', 'linger ??= setTimeout(() => stream.destroy(), LINGER_MS);', ''],
    ['a stream waits on for a client that has gone', "gone.addEventListener('abort', () => end());", 'gone;'],
  ]),
].flat();
