// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const EVENTS = 'test/events.test.ts';

/**
 * Planted bugs of the event log: its order, its versions, and how it is followed.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const EVENT_MUTANTS = [
  inFile('libs/ledger/src/group-store.ts', 'test/event-order.test.ts', [
    ['a process overtakes another one in the log', 'SELECT pg_advisory_xact_lock(id) FROM', 'SELECT id FROM'],
  ]),
  inFile('libs/outbox/src/event-log.ts', EVENTS, [
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
  inFile('libs/outbox/src/event-log.ts', 'test/event-retention.test.ts', [
    [
      'who has read all that was forgotten is refused',
      'event_horizons WHERE merchant_id = $1 AND (xid, seq) > ($2::xid8, $3::bigint)',
      'event_horizons WHERE merchant_id = $1 AND (xid, seq) >= ($2::xid8, $3::bigint)',
    ],
  ]),
  inFile('libs/outbox/src/event-schema.ts', 'libs/outbox/src/event-schema.spec.ts', [
    ['an upcaster is left out', 'this.versions.slice(from)', 'this.versions.slice(from + 1)'],
    ['a shape is its prose', "key === 'description' && typeof inner === 'string'", 'key'],
  ]),
  inFile('libs/outbox/src/catalogue.ts', 'libs/outbox/src/event-schema.spec.ts', [
    ['a version from the future is read as today’s', '|| version > schema.version', ''],
  ]),
  inFile('libs/outbox/src/catalogue.ts', 'test/catalogue.test.ts', [
    ['a shape changes in place', 'z.strictObject({ account_id: id });', 'z.strictObject({ account_id: id, why: id });'],
    ['an old version is not upcast', '({ ...before, expires_at: null })', '({ ...before, expires_at: undefined })'],
  ]),
  inFile('libs/ledger/src/events.ts', EVENTS, [
    ['the writer tells what the catalogue does not', '`{"transaction_id":', '`{"extra":1,"transaction_id":'],
    ['the writer leaves out what the catalogue promises', '"parent_id":${parent},', ''],
  ]),
  inFile('libs/outbox/src/log-watch.ts', EVENTS, [
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
