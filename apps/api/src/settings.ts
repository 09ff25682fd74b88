import { BALANCES_SETTINGS } from '#balances/settings.js';
import { integer, oneOf } from '#platform/config-fields.js';
import { atMost, greater, roomSettings } from '#platform/room-settings.js';
import { PLATFORM_SETTINGS } from '#platform/settings.js';

const MIB = 1_048_576;

export const API_SETTINGS = roomSettings({
  room: 'apps/api',
  reads: [PLATFORM_SETTINGS, BALANCES_SETTINGS],
  fields: {
    PORT: integer({ default: 3_000, min: 0, max: 65_535 }).describe(
      'Port of the API; 0 lets the system choose. When it is not set and 3000 is taken, `npm start` takes the next free one.',
    ),
    TRACEPARENT_TRUST: oneOf(['keys', 'everybody'])
      .default('keys')
      .describe(
        'Whose `traceparent` is honoured, its sampled flag included. `keys`: that of requests with a valid key. `everybody`: where only a proxy of one’s own, which sets it, reaches the API.',
      ),
    LOG_REFUSALS_PER_SECOND: integer({ default: 20, min: 1, max: 1_000_000 }).describe(
      'Lines of the log, a second, about requests that were refused with one code and that nobody pays units for: without a valid key, or `rate_limited`. The next line says how many were `left_out`; the metrics count all.',
    ),
    REQUEST_DEADLINE_MS: integer({ default: 10_000, min: 100, max: 300_000 }).describe(
      'Deadline of each request, handed down to SQL. Redis is never waited for as long: BALANCE_REDIS_TIMEOUT_MS.',
    ),
    HEADERS_TIMEOUT_MS: integer({ default: 10_000, min: 100, max: 300_000 }).describe(
      'How long a client may take to send the headers of a request.',
    ),
    BODY_TIMEOUT_MS: integer({ default: 30_000, min: 100, max: 600_000 }).describe(
      'How long a client may take to send a whole request, headers included.',
    ),
    KEEP_ALIVE_TIMEOUT_MS: integer({ default: 65_000, min: 1_000, max: 600_000 }).describe(
      'How long an idle connection is kept. Longer than a load balancer’s, or it meets closed ones.',
    ),
    SHUTDOWN_DELAY_MS: integer({ default: 0, min: 0, max: 60_000 }).describe(
      'How long after SIGTERM the API goes on accepting connections while `/readyz` says 503, so that a load balancer sees it first. Part of the grace.',
    ),
    BODY_LIMIT_BYTES: integer({ default: MIB, min: 1_024, max: 64 * MIB }).describe('Largest request body.'),
    BATCH_BODY_LIMIT_BYTES: integer({ default: 8 * MIB, min: 1_024, max: 256 * MIB }).describe(
      'Largest body of a batch route.',
    ),
    BODIES_LIMIT_BYTES: integer({ default: 256 * MIB, min: MIB, max: 65_536 * MIB }).describe(
      'Bytes of bodies whose requests are not answered yet; beyond that the answer is `overloaded`. A body that is sent without its length counts as the largest of its route.',
    ),
    BODIES_MERCHANT_LIMIT_BYTES: integer({ default: 64 * MIB, min: MIB, max: 65_536 * MIB }).describe(
      'The same for one merchant, and for all callers without one together.',
    ),
    PAGE_LIMIT_BYTES: integer({ default: MIB, min: 1_024, max: 64 * MIB }).describe(
      'About how many bytes a page of a list may have: it ends there, with `has_more` and its cursor, whatever `limit` says.',
    ),
    LIST_SCAN_ROWS: integer({ default: 10_000, min: 10, max: 1_000_000 }).describe(
      'How many rows a request may look at to find those of a list that fit its filters: its page ends there, with `has_more` and its cursor, however few they are.',
    ),
    PIPELINE_LIMIT: integer({ default: 100, min: 0, max: 10_000 }).describe(
      'Requests that may wait on a connection while one before them is answered; the connection is closed behind those.',
    ),
    PIPELINED_LIMIT_BYTES: integer({ default: 64 * MIB, min: 65_536, max: 65_536 * MIB }).describe(
      'Bytes of requests that wait so on all connections, 2 KiB and the head for each; beyond that a connection is closed behind those of its own that wait already.',
    ),
    WRITE_TIMEOUT_MS: integer({ default: 30_000, min: 100, max: 600_000 }).describe(
      'How long a client may take to take an answer that is there; then its connection is cut. Streams have limits of their own.',
    ),
    UNSENT_LIMIT_BYTES: integer({ default: 256 * MIB, min: MIB, max: 65_536 * MIB }).describe(
      'Bytes of answers that may wait for their clients to take them; beyond that reads are told `overloaded`.',
    ),
    UNSENT_MERCHANT_LIMIT_BYTES: integer({ default: 32 * MIB, min: MIB, max: 65_536 * MIB }).describe(
      'The same for one merchant, and for all callers without one together.',
    ),
    EVENT_WAIT_MAX_MS: integer({ default: 30_000, min: 0, max: 300_000 }).describe(
      'Longest that `GET /v1/events?wait_ms=` waits; REQUEST_DEADLINE_MS ends it earlier, if that is less.',
    ),
    EVENT_STREAM_MAX_MS: integer({ default: 300_000, min: 100, max: 86_400_000 }).describe(
      'How long a stream of events lasts; its client goes on with `Last-Event-ID`.',
    ),
    EVENT_HEARTBEAT_MS: integer({ default: 10_000, min: 100, max: 300_000 }).describe(
      'How often a stream of events says that it is alive while there are none. Less than a proxy’s idle timeout.',
    ),
  },
  checks: [
    atMost('HEADERS_TIMEOUT_MS', 'BODY_TIMEOUT_MS'),
    atMost('SHUTDOWN_DELAY_MS', 'SHUTDOWN_GRACE_MS'),
    greater('REQUEST_DEADLINE_MS', 'BALANCE_REDIS_TIMEOUT_MS'),
    {
      // What waits for a balance to end with its time to live would be ended by its deadline first, each time.
      of: ['REQUEST_DEADLINE_MS', 'BALANCE_TTL_MS', 'CACHE_WRITE_POLICY'],
      message: 'must be more than BALANCE_TTL_MS while CACHE_WRITE_POLICY is strict',
      holds: (values) => values.CACHE_WRITE_POLICY !== 'strict' || values.REQUEST_DEADLINE_MS > values.BALANCE_TTL_MS,
    },
    // What one caller cannot have at all would be told to come again for ever.
    atMost('BODY_LIMIT_BYTES', 'BODIES_MERCHANT_LIMIT_BYTES'),
    atMost('BATCH_BODY_LIMIT_BYTES', 'BODIES_MERCHANT_LIMIT_BYTES'),
    atMost('BODIES_MERCHANT_LIMIT_BYTES', 'BODIES_LIMIT_BYTES'),
    atMost('UNSENT_MERCHANT_LIMIT_BYTES', 'UNSENT_LIMIT_BYTES'),
  ],
});
