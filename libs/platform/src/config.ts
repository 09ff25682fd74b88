import { createHmac, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { z } from 'zod';
import { integer, url } from './config-fields.js';
import { OUTBOX_ENVIRONMENT, type OutboxSettings, outboxSettings } from './outbox-settings.js';
import { passwordOf, runtimeUrlOf } from './runtime-role.js';
import { WEBHOOK_ENVIRONMENT, type WebhookSettings, webhookSettings } from './webhook-settings.js';

/** EX_CONFIG of sysexits.h: the process was told something that it cannot work with; a restart does not help. */
export const CONFIG_EXIT_CODE = 78;

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const MIB = 1_048_576;

const postgresUrl = url(['postgres', 'postgresql']);
const redisUrl = url(['redis', 'rediss']);

/** Every variable that the processes read, in the order of docs/configuration.md, which is generated from this. */
export const ENVIRONMENT = z.object({
  PORT: integer({ default: 3_000, min: 0, max: 65_535 }).describe(
    'Port of the API; 0 lets the system choose. When it is not set and 3000 is taken, `npm start` takes the next free one.',
  ),
  HOST: z.string().min(1).default('127.0.0.1').describe('Address that the API listens on. Containers need `0.0.0.0`.'),
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
  COUNTERFOIL_OPERATOR_KEY: z
    .string()
    .refine(
      (value) => value.split(',').every((key) => /^cfo_[0-9A-Za-z]{32,}$/.test(key)),
      'must be `cfo_` and at least 32 letters or digits; several are separated by commas',
    )
    .optional()
    .describe(
      'Key of the platform’s operators: `cfo_` and at least 32 letters or digits. Several, separated by commas, while one replaces another. Without it the platform’s routes refuse everybody.',
    ),
  COUNTERFOIL_DATA_DIR: z
    .string()
    .min(1)
    .optional()
    .describe('Folder of the private servers’ data; `.counterfoil` of the checkout when absent.'),
  COUNTERFOIL_DEMO: z
    .enum(['0', '1'], 'must be 0 or 1')
    .default('1')
    .describe('`0`: `npm start` starts without demo data.'),
  OTEL_EXPORTER_OTLP_ENDPOINT: url(['http', 'https'])
    .optional()
    .describe('Where traces go (OTLP over HTTP), such as `http://127.0.0.1:4318`. Without it nothing is traced.'),
  TRACE_SAMPLE_RATIO: z
    .string()
    .refine((value) => /^[0-9]*\.?[0-9]+$/.test(value) && Number(value) <= 1, 'must be a number from 0 to 1')
    .transform(Number)
    .optional()
    .describe(
      'Share of the requests without a `traceparent` that are traced. 1 when absent, or 0.05 when NODE_ENV is `production`: full sampling costs about half of the throughput.',
    ),
  TRACEPARENT_TRUST: z
    .enum(['keys', 'everybody'], 'must be keys or everybody')
    .default('keys')
    .describe(
      'Whose `traceparent` is honoured, its sampled flag included. `keys`: that of requests with a valid key. `everybody`: where only a proxy of one’s own, which sets it, reaches the API.',
    ),
  NODE_ENV: z.string().optional().describe('`production` changes the default of TRACE_SAMPLE_RATIO, and nothing else.'),
  LOG_LEVEL: z
    .enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`)
    .default('info')
    .describe(
      'Least severe level that is logged. `info` has a line for each request; `warn` has none and costs nothing.',
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
  SHUTDOWN_GRACE_MS: integer({ default: 10_000, min: 0, max: 300_000 }).describe(
    'How long what is in hand may take after SIGTERM before the process ends all the same.',
  ),
  SHUTDOWN_DELAY_MS: integer({ default: 0, min: 0, max: 60_000 }).describe(
    'How long after SIGTERM the API goes on accepting connections while `/readyz` says 503, so that a load balancer sees it first. Part of the grace.',
  ),
  DATABASE_POOL_SIZE: integer({ default: 10, min: 2, max: 200 }).describe('Connections to PostgreSQL per process.'),
  DATABASE_CONNECT_TIMEOUT_MS: integer({ default: 2_000, min: 100, max: 60_000 }).describe(
    'How long a connection to PostgreSQL may take, waiting for a free one included.',
  ),
  WRITER_LANES: integer({ default: 2, min: 1, max: 16 }).describe(
    'Lanes of the group-commit writer; a merchant stays in one.',
  ),
  WRITER_LANE_CAPACITY: integer({ default: 2_000, min: 1, max: 100_000 }).describe(
    'Postings that may wait in a lane, for their group or for their balances to be told; beyond that the answer is `overloaded`.',
  ),
  WRITER_GROUP_SIZE: integer({ default: 200, min: 1, max: 10_000 }).describe(
    'Postings that one database transaction carries at most.',
  ),
  WRITER_ATTEMPTS: integer({ default: 5, min: 1, max: 20 }).describe(
    'How often a group is tried after serialization failures, deadlocks and lost connections.',
  ),
  WRITER_GROUP_TIMEOUT_MS: integer({ default: 6_000, min: 100, max: 60_000 }).describe(
    'Deadline of one group’s transaction.',
  ),
  IDEMPOTENCY_WAIT_MS: integer({ default: 5_000, min: 0, max: 60_000 }).describe(
    'How long a request waits for the first one with its Idempotency-Key before `idempotency_in_flight`.',
  ),
  IDEMPOTENCY_RETENTION_HOURS: integer({ default: 48, min: 24, max: 8_760 }).describe(
    'How long Idempotency-Keys are kept.',
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
  API_KEY_CACHE_MS: integer({ default: 3_000, min: 0, max: 5_000 }).describe(
    'How long a process trusts an API key that it looked up: the longest that a revoked key still works.',
  ),
  EXPIRY_INTERVAL_MS: integer({ default: 1_000, min: 50, max: 3_600_000 }).describe(
    'How long the worker waits at most before it asks which pending transactions have expired. It asks sooner where it knows of one.',
  ),
  CACHE_WRITE_POLICY: z
    .enum(['available', 'strict'], 'must be available or strict')
    .default('available')
    .describe(
      'What happens to an answer whose balances cannot be told to Redis. `available`: it is given, and a reader who still reaches Redis may see the old balance for less than BALANCE_TTL_MS. `strict`: acknowledgements, and reads from the database, wait until no older balance can be served any more, at most BALANCE_TTL_MS; REQUEST_DEADLINE_MS should be longer.',
    ),
  BALANCE_TTL_MS: integer({ default: 5_000, min: 100, max: 600_000 }).describe(
    'How long a cached balance may live, counted from the lease or fence that it rests on.',
  ),
  BALANCE_REDIS_TIMEOUT_MS: integer({ default: 50, min: 1, max: 10_000 }).describe(
    'Longest wait for one call to the cache; after it the database is asked.',
  ),
  BALANCE_L1_MAX_AGE_MS: integer({ default: 1_000, min: 0, max: 60_000 }).describe(
    'Oldest balance that `consistency=bounded` may answer from this process’ memory. 0 turns that off. No other read uses it.',
  ),
  BALANCE_LEASE_WAIT_MS: integer({ default: 250, min: 0, max: 10_000 }).describe(
    'How long a read waits for another one that fills the cache before it reads the database itself.',
  ),
  BALANCE_DATABASE_READS: integer({ default: 4, min: 1, max: 64 }).describe(
    'Reads of balances that a process sends to the database at once; each carries many accounts.',
  ),
  BALANCE_DATABASE_QUEUE: integer({ default: 10_000, min: 1, max: 1_000_000 }).describe(
    'Accounts that may wait for such a read; beyond that the answer is `overloaded`.',
  ),
  BALANCE_EARLY_REFRESH: z
    .string()
    .refine((value) => /^[0-9]*\.?[0-9]+$/.test(value) && Number(value) <= 100, 'must be a number from 0 to 100')
    .transform(Number)
    .default(1)
    .describe('XFetch’s β: how eagerly a balance is refreshed before it expires. 0 turns that off.'),
  BALANCE_SWEEP_AFTER_MS: integer({ default: 8_000, min: 100, max: 600_000 }).describe(
    'Age from which the fence of a writer is swept. More than WRITER_GROUP_TIMEOUT_MS, or slow groups are tried again.',
  ),
  BALANCE_MONITOR_INTERVAL_MS: integer({ default: 10_000, min: 100, max: 3_600_000 }).describe(
    'How often the worker compares a sample of cached balances with the ledger.',
  ),
  BALANCE_MONITOR_SAMPLE: integer({ default: 200, min: 2, max: 10_000 }).describe(
    'Accounts in such a sample: half of them from the cache, half from the ledger.',
  ),
  ...OUTBOX_ENVIRONMENT,
  ...WEBHOOK_ENVIRONMENT,
  METRICS_ALLOW: z
    .string()
    .refine(
      (value) => value.split(',').every((address) => isIP(address.trim()) !== 0),
      'must be IP addresses, separated by commas',
    )
    .default('127.0.0.1,::1')
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
  ID_MAX_LEAD_MS: integer({ default: 1_000, min: 0, max: 60_000 }).describe(
    'How far ids may run ahead of this machine’s clock when others’ clocks are ahead.',
  ),
});

export interface Config {
  readonly port: number;
  readonly host: string;
  readonly databaseUrl: string;
  /** Never absent: given, or derived from `databaseUrl`. */
  readonly databaseRuntimeUrl: string;
  readonly redisUrl: string | undefined;
  readonly redisQueueUrl: string | undefined;
  readonly operatorKeys: readonly string[];
  readonly dataDir: string | undefined;
  readonly demo: boolean;
  readonly otlpEndpoint: string | undefined;
  readonly traceSampleRatio: number;
  readonly traceparentTrust: 'keys' | 'everybody';
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly requestDeadlineMs: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly shutdownGraceMs: number;
  readonly shutdownDelayMs: number;
  readonly databasePoolSize: number;
  readonly databaseConnectTimeoutMs: number;
  readonly writerLanes: number;
  readonly writerLaneCapacity: number;
  readonly writerGroupSize: number;
  readonly writerAttempts: number;
  readonly writerGroupTimeoutMs: number;
  readonly idempotencyWaitMs: number;
  readonly idempotencyRetentionHours: number;
  readonly bodyLimitBytes: number;
  readonly batchBodyLimitBytes: number;
  readonly bodiesLimitBytes: number;
  readonly bodiesMerchantLimitBytes: number;
  readonly pageLimitBytes: number;
  readonly pipelineLimit: number;
  readonly pipelinedLimitBytes: number;
  readonly writeTimeoutMs: number;
  readonly unsentLimitBytes: number;
  readonly unsentMerchantLimitBytes: number;
  readonly apiKeyCacheMs: number;
  readonly expiryIntervalMs: number;
  readonly cacheWritePolicy: 'available' | 'strict';
  readonly balanceTtlMs: number;
  readonly balanceRedisTimeoutMs: number;
  readonly balanceL1MaxAgeMs: number;
  readonly balanceLeaseWaitMs: number;
  readonly balanceDatabaseReads: number;
  readonly balanceDatabaseQueue: number;
  readonly balanceEarlyRefresh: number;
  readonly balanceSweepAfterMs: number;
  readonly balanceMonitorIntervalMs: number;
  readonly balanceMonitorSample: number;
  readonly outbox: OutboxSettings;
  readonly webhooks: WebhookSettings;
  readonly metricsAllow: readonly string[];
  readonly metricsPort: number;
  readonly cursorSecret: string;
  readonly idMaxLeadMs: number;
}

/** Wrong values of the environment, all of them in one message. Values are not repeated: they may be secrets. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** The one reading of the environment. Empty variables count as absent. Throws ConfigError. */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = ENVIRONMENT.safeParse(given);
  if (!parsed.success) throw new ConfigError(explain(parsed.error.issues, given));
  const values = parsed.data;
  const databaseRuntimeUrl = runtimeUrlOf(values.DATABASE_URL, values.DATABASE_RUNTIME_URL);
  return Object.freeze({
    port: values.PORT,
    host: values.HOST,
    databaseUrl: values.DATABASE_URL,
    databaseRuntimeUrl,
    redisUrl: values.REDIS_URL,
    redisQueueUrl: values.REDIS_QUEUE_URL,
    operatorKeys: Object.freeze(values.COUNTERFOIL_OPERATOR_KEY?.split(',') ?? []),
    dataDir: values.COUNTERFOIL_DATA_DIR,
    demo: values.COUNTERFOIL_DEMO === '1',
    otlpEndpoint: values.OTEL_EXPORTER_OTLP_ENDPOINT,
    traceSampleRatio: values.TRACE_SAMPLE_RATIO ?? (values.NODE_ENV === 'production' ? 0.05 : 1),
    traceparentTrust: values.TRACEPARENT_TRUST,
    logLevel: values.LOG_LEVEL,
    requestDeadlineMs: values.REQUEST_DEADLINE_MS,
    headersTimeoutMs: values.HEADERS_TIMEOUT_MS,
    bodyTimeoutMs: values.BODY_TIMEOUT_MS,
    keepAliveTimeoutMs: values.KEEP_ALIVE_TIMEOUT_MS,
    shutdownGraceMs: values.SHUTDOWN_GRACE_MS,
    shutdownDelayMs: values.SHUTDOWN_DELAY_MS,
    databasePoolSize: values.DATABASE_POOL_SIZE,
    databaseConnectTimeoutMs: values.DATABASE_CONNECT_TIMEOUT_MS,
    writerLanes: values.WRITER_LANES,
    writerLaneCapacity: values.WRITER_LANE_CAPACITY,
    writerGroupSize: values.WRITER_GROUP_SIZE,
    writerAttempts: values.WRITER_ATTEMPTS,
    writerGroupTimeoutMs: values.WRITER_GROUP_TIMEOUT_MS,
    idempotencyWaitMs: values.IDEMPOTENCY_WAIT_MS,
    idempotencyRetentionHours: values.IDEMPOTENCY_RETENTION_HOURS,
    bodyLimitBytes: values.BODY_LIMIT_BYTES,
    batchBodyLimitBytes: values.BATCH_BODY_LIMIT_BYTES,
    bodiesLimitBytes: values.BODIES_LIMIT_BYTES,
    bodiesMerchantLimitBytes: values.BODIES_MERCHANT_LIMIT_BYTES,
    pageLimitBytes: values.PAGE_LIMIT_BYTES,
    pipelineLimit: values.PIPELINE_LIMIT,
    pipelinedLimitBytes: values.PIPELINED_LIMIT_BYTES,
    writeTimeoutMs: values.WRITE_TIMEOUT_MS,
    unsentLimitBytes: values.UNSENT_LIMIT_BYTES,
    unsentMerchantLimitBytes: values.UNSENT_MERCHANT_LIMIT_BYTES,
    apiKeyCacheMs: values.API_KEY_CACHE_MS,
    expiryIntervalMs: values.EXPIRY_INTERVAL_MS,
    cacheWritePolicy: values.CACHE_WRITE_POLICY,
    balanceTtlMs: values.BALANCE_TTL_MS,
    balanceRedisTimeoutMs: values.BALANCE_REDIS_TIMEOUT_MS,
    balanceL1MaxAgeMs: values.BALANCE_L1_MAX_AGE_MS,
    balanceLeaseWaitMs: values.BALANCE_LEASE_WAIT_MS,
    balanceDatabaseReads: values.BALANCE_DATABASE_READS,
    balanceDatabaseQueue: values.BALANCE_DATABASE_QUEUE,
    balanceEarlyRefresh: values.BALANCE_EARLY_REFRESH,
    balanceSweepAfterMs: values.BALANCE_SWEEP_AFTER_MS,
    balanceMonitorIntervalMs: values.BALANCE_MONITOR_INTERVAL_MS,
    balanceMonitorSample: values.BALANCE_MONITOR_SAMPLE,
    outbox: outboxSettings(values),
    webhooks: webhookSettings(values),
    metricsAllow: Object.freeze(values.METRICS_ALLOW.split(',').map((address) => address.trim())),
    metricsPort: values.METRICS_PORT,
    cursorSecret: values.CURSOR_SECRET ?? deriveCursorSecret(databaseRuntimeUrl),
    idMaxLeadMs: values.ID_MAX_LEAD_MS,
  });
}

/** Reads the environment for a process, which ends with one clear message when it is wrong. */
export function readConfigOrExit(environment: NodeJS.ProcessEnv = process.env): Config {
  try {
    return readConfig(environment);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(`counterfoil: ${error.message}`);
    process.exit(CONFIG_EXIT_CODE);
  }
}

function explain(issues: readonly z.core.$ZodIssue[], given: Record<string, unknown>): string {
  const messages = new Map<string, string>();
  for (const issue of issues) {
    const name = String(issue.path[0]);
    if (!messages.has(name)) messages.set(name, name in given ? issue.message : 'is needed and not set');
  }
  const lines = [...messages].map(([name, message]) => `  ${name} ${message}`);
  return `the environment is not right (every variable is explained in docs/configuration.md):\n${lines.join('\n')}`;
}

/** Without any password in the URL there is nothing that all processes know and a client does not: cursors then end with the process. */
function deriveCursorSecret(runtimeUrl: string): string {
  const password = passwordOf(runtimeUrl);
  return createHmac('sha256', password === '' ? randomBytes(32) : password)
    .update('counterfoil cursors')
    .digest('base64url');
}

/** docs/configuration.md, generated from the schema. */
export function configurationTable(): string {
  const rows = Object.entries(ENVIRONMENT.shape).map(([name, schema]) => {
    const fallback = schema.safeParse(undefined);
    const value =
      fallback.success && fallback.data !== undefined ? `\`${fallback.data}\`` : fallback.success ? '–' : 'needed';
    return `| \`${name}\` | ${value} | ${schema.description ?? ''} |`;
  });
  return [
    '# Configuration',
    '',
    'Generated by `npm run docs:config` from `libs/platform/src/config.ts`. The environment is read once, at the start; wrong values end the',
    `process with exit code ${CONFIG_EXIT_CODE} and one message that names all of them. An empty variable counts as absent.`,
    '',
    '| variable | default | meaning |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
