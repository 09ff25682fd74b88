import { createHmac, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { z } from 'zod';
import { decimal, flag, integer, list, networks, oneOf, url } from './config-fields.js';
import { roomSettings, type SettingsOf } from './room-settings.js';
import { passwordOf, runtimeUrlOf } from './runtime-role.js';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const PRODUCTION_SAMPLE_RATIO = 0.05;

const postgresUrl = url(['postgres', 'postgresql']);
const redisUrl = url(['redis', 'rediss']);

/**
 * Azure's WireServer answers Azure's machines under a public address. Other clouds' hosts lie in ranges that are refused
 * anyway: 169.254.0.0/16, 100.64.0.0/10 (Alibaba's 100.100.100.200), 192.0.0.0/24 (Oracle's 192.0.0.192), fd00:ec2::/32.
 */
const DEFAULT_REFUSED_NETWORKS = '168.63.129.16/32';

export const PLATFORM_SETTINGS = roomSettings({
  room: 'libs/platform',
  fields: {
    HOST: z
      .string()
      .min(1)
      .default('127.0.0.1')
      .describe('Address that the API listens on. Containers need `0.0.0.0`.'),
    DATABASE_URL: postgresUrl.describe(
      'PostgreSQL 18 as the owner of the database, who may create tables and roles: for the migrations alone. `?host=/folder` names the folder of a Unix socket.',
    ),
    DATABASE_RUNTIME_URL: postgresUrl
      .optional()
      .describe(
        'PostgreSQL as `counterfoil_runtime`, the role that the service runs as. Derived from DATABASE_URL when absent.',
      ),
    REDIS_URL: redisUrl
      .optional()
      .describe(
        'Redis in the cache role: it may lose everything (`volatile-lru`). Without it balances are read from the database. `redis://localhost?path=/file` names a Unix socket.',
      ),
    REDIS_QUEUE_URL: redisUrl.optional().describe('Redis in the queue role: persistent, `noeviction`.'),
    COUNTERFOIL_DATA_DIR: z
      .string()
      .min(1)
      .optional()
      .describe('Folder of the private servers’ data; `.counterfoil` of the checkout when absent.'),
    COUNTERFOIL_DEMO: flag('1').describe('`0`: `npm start` starts without demo data.'),
    OTEL_EXPORTER_OTLP_ENDPOINT: url(['http', 'https'])
      .optional()
      .describe('Where traces go (OTLP over HTTP), such as `http://127.0.0.1:4318`. Without it nothing is traced.'),
    TRACE_SAMPLE_RATIO: decimal({ max: 1 })
      .optional()
      .describe(
        'Share of the requests without a `traceparent` that are traced. 1 when absent, or 0.05 when NODE_ENV is `production`: full sampling costs about half of the throughput.',
      ),
    TRACE_SLOW_MS: integer({ default: 500, min: 0, max: 600_000 }).describe(
      'A request, or a piece of a worker’s work, that takes as long has its trace kept whatever TRACE_SAMPLE_RATIO says, as has one in which something fails. 0: failures alone.',
    ),
    NODE_ENV: z
      .string()
      .optional()
      .describe('`production` changes the default of TRACE_SAMPLE_RATIO, and nothing else.'),
    LOG_LEVEL: oneOf(LOG_LEVELS)
      .default('info')
      .describe(
        'Least severe level that is logged. `info` has a line for each request; `warn` has none and costs nothing.',
      ),
    SHUTDOWN_GRACE_MS: integer({ default: 10_000, min: 0, max: 300_000 }).describe(
      'How long what is in hand may take after SIGTERM before the process ends all the same.',
    ),
    DATABASE_POOL_SIZE: integer({ default: 10, min: 2, max: 200 }).describe('Connections to PostgreSQL per process.'),
    DATABASE_MERCHANT_CONNECTIONS: integer({ default: 0, min: 0, max: 200 }).describe(
      'Those that one merchant’s requests may have at once; who waits has its turn by merchant. 0: a third of them.',
    ),
    DATABASE_CONNECT_TIMEOUT_MS: integer({ default: 2_000, min: 100, max: 60_000 }).describe(
      'How long a connection to PostgreSQL may take, waiting for a free one included.',
    ),
    IDEMPOTENCY_WAIT_MS: integer({ default: 5_000, min: 0, max: 60_000 }).describe(
      'How long a request waits for the first one with its Idempotency-Key before `idempotency_in_flight`.',
    ),
    METRICS_ALLOW: list((address) => isIP(address) !== 0, 'must be IP addresses, separated by commas')
      .prefault('127.0.0.1,::1')
      .describe(
        'Addresses that `/metrics` answers, separated by commas; for all others, and for what a proxy forwards, there is no such route.',
      ),
    METRICS_PORT: integer({ default: 0, min: 0, max: 65_535 }).describe(
      'Port on which a process, API or worker, serves `/metrics` at HOST, and nothing else; each needs its own. 0: it does not.',
    ),
    CURSOR_SECRET: z
      .string()
      .min(16, 'must have at least 16 characters')
      .optional()
      .describe(
        'Key of the signatures of list cursors; the same for all processes. Derived from the runtime role’s password when absent.',
      ),
    WEBHOOK_ALLOW_LOOPBACK: flag('0').describe(
      '`1`: webhooks and queries of providers may go to this machine itself, there also by plain http. For development alone; `npm start` sets it.',
    ),
    WEBHOOK_REFUSED_NETWORKS: networks(DEFAULT_REFUSED_NETWORKS).describe(
      'More networks (CIDR, separated by commas) that webhooks and queries of providers must not be sent to, beside everything that is not the public internet: public addresses of yours, and those that a cloud answers from inside.',
    ),
    ID_MAX_LEAD_MS: integer({ default: 1_000, min: 0, max: 60_000 }).describe(
      'How far ids may run ahead of this machine’s clock when others’ clocks are ahead.',
    ),
  },
  derive: (given) => {
    const runtimeUrl = runtimeUrlOf(given.DATABASE_URL, given.DATABASE_RUNTIME_URL);
    return {
      DATABASE_RUNTIME_URL: runtimeUrl,
      DATABASE_MERCHANT_CONNECTIONS:
        given.DATABASE_MERCHANT_CONNECTIONS || Math.max(1, Math.floor(given.DATABASE_POOL_SIZE / 3)),
      TRACE_SAMPLE_RATIO: given.TRACE_SAMPLE_RATIO ?? (given.NODE_ENV === 'production' ? PRODUCTION_SAMPLE_RATIO : 1),
      CURSOR_SECRET: given.CURSOR_SECRET ?? cursorSecretOf(runtimeUrl),
    };
  },
});

export type PlatformSettings = SettingsOf<typeof PLATFORM_SETTINGS>;

/** Without any password in the URL there is nothing that all processes know and a client does not: cursors then end with the process. */
function cursorSecretOf(runtimeUrl: string): string {
  const password = passwordOf(runtimeUrl);
  return createHmac('sha256', password === '' ? randomBytes(32) : password)
    .update('counterfoil cursors')
    .digest('base64url');
}
