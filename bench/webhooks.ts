// Webhook deliveries a second to a local sink, one worker, everything on: claim, read, sign, send, record. See
// docs/figures/webhooks.md.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import pg from 'pg';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import type { LoggedEvent } from '#outbox/consumers/consumer.js';
import { Deadline } from '#platform/deadline.js';
import { createLogger } from '#platform/logging.js';
import { connectionOptions, Database } from '#platform/postgres.js';
import { WebhookFanOut } from '#webhooks/fan-out.js';
import { openWebhookSender } from '#webhooks/open-sender.js';
import { readConfig } from '../apps/config.js';
import { scratchDatabase } from '../db/bench/scratch-database.js';
import { textTable } from '../db/bench/text-table.js';

const EVENTS = Number(process.env.COUNTERFOIL_BENCH_EVENTS ?? '1000');
/** What is measured: how many endpoints, in which order, and one in how many events fails (each then waits for its retry). */
const CASES = [
  { endpoints: 1, ordering: 'strict', failing: 0 },
  { endpoints: 50, ordering: 'strict', failing: 0 },
  { endpoints: 1, ordering: 'none', failing: 0 },
  { endpoints: 50, ordering: 'none', failing: 0 },
  { endpoints: 1, ordering: 'none', failing: 20 },
] as const;
type Case = (typeof CASES)[number];
const ROUNDS = 3;
/** Events in one call of the fan-out: CONSUMER_PAGE. */
const PAGE = 500;
const DEADLINE_MS = 60_000;

/** A thread of its own: the receiver is not what is measured. */
const SINK = `
const { createServer } = require('node:http');
const { parentPort } = require('node:worker_threads');
const server = createServer((request, response) => {
  const failing = Number(new URL(request.url, 'http://sink').searchParams.get('failing'));
  const seq = Number(request.headers['webhook-id'].split('-').at(-1));
  request.resume().once('end', () => response.writeHead(failing > 0 && seq % failing === 0 ? 500 : 204).end());
});
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`;

/** $1 merchants, $2 where their endpoints are, $3 in which order; ids of merchants serve for what is theirs. */
const PREPARE = `
WITH m AS (
  INSERT INTO merchants (id, name, time_zone, settlement_cutoff, currencies, created_at)
  SELECT id, 'Bench', 'UTC', '00:00', '{EUR}', snowflake_time(id) FROM unnest($1::bigint[]) AS id RETURNING id
), e AS (
  INSERT INTO webhook_endpoints (merchant_id, id, url, ordering, created_at) SELECT id, id, $2, $3, snowflake_time(id) FROM m RETURNING id
)
INSERT INTO webhook_secrets (merchant_id, endpoint_id, id, key, created_at)
SELECT id, id, id, sha256(id::text::bytea), snowflake_time(id) FROM e`;

/** As long as a posting of two entries. */
const DATA = JSON.stringify({ transaction_id: '251658240000004096', filler: 'x'.repeat(550) });

const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:webhooks');
const sink = new Worker(SINK, { eval: true });
const [port] = await once(sink, 'message');
const scratch = await scratchDatabase(serverUrl, 'webhooks');
const owner = new pg.Client(connectionOptions(scratch.url, 'bench'));
const config = readConfig({
  DATABASE_URL: scratch.url,
  WEBHOOK_ALLOW_LOOPBACK: '1',
  // What fails is tried again after the measurement.
  WEBHOOK_RETRY_SCHEDULE_S: '86400',
});
const database = new Database(scratch.runtimeUrl, {
  poolSize: config.databasePoolSize,
  connectTimeoutMs: config.databaseConnectTimeoutMs,
  applicationName: 'bench',
});
let merchants = 0;
try {
  await owner.connect();
  const rows: string[][] = [];
  for (const one of CASES) {
    const { endpoints, ordering, failing } = one;
    const figures: Figure[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      figures.push(await measure(one));
      console.error(`# ${endpoints} endpoints, ${ordering}, round ${round + 1} of ${ROUNDS}`);
    }
    const spread = (pick: (figure: Figure) => number): string => {
      const sorted = figures.map(pick).sort((a, b) => a - b);
      return `${Math.round(sorted[1] ?? 0)} (${Math.round(sorted[0] ?? 0)}–${Math.round(sorted.at(-1) ?? 0)})`;
    };
    const what = [String(endpoints), ordering, failing === 0 ? 'none' : `1 in ${failing}`];
    rows.push([...what, String(EVENTS), spread(({ fanned }) => fanned), spread(({ sent }) => sent)]);
  }
  console.log(
    `\n${textTable(
      ['endpoints', 'ordering', 'failing', 'deliveries', 'fanned out a second', 'delivered a second, median (range)'],
      rows,
      0,
    )}`,
  );
} finally {
  await Promise.all([owner.end(), database.close(), sink.terminate()]);
  await scratch.drop();
}

interface Figure {
  /** Deliveries made due a second. */
  fanned: number;
  /** Deliveries a second from the first claim to the last record. */
  sent: number;
}

/** One merchant for each endpoint, as many deliveries to each. */
async function measure({ endpoints, ordering, failing }: Case): Promise<Figure> {
  const merchantIds = Array.from({ length: endpoints }, () => firstSnowflakeAt(Date.now()) + BigInt(++merchants));
  const perMerchant = Math.ceil(EVENTS / endpoints);
  await owner.query(PREPARE, [merchantIds, `http://127.0.0.1:${port}/?failing=${failing}`, ordering]);
  await owner.query(
    `INSERT INTO events (merchant_id, type, version, occurred_at, data)
     SELECT m, 'transaction.posted', 1, now(), $2::json FROM unnest($1::bigint[]) m, generate_series(1, $3)`,
    [merchantIds, DATA, perMerchant],
  );
  const { rows: log } = await owner.query<LoggedEvent>(
    `SELECT merchant_id AS "merchantId", xid, seq, type FROM events WHERE merchant_id = ANY ($1) ORDER BY xid, seq`,
    [merchantIds],
  );
  const fanOut = new WebhookFanOut();
  const beganMs = performance.now();
  for (let at = 0; at < log.length; at += PAGE) {
    await database.transaction({ merchantIds }, Deadline.after(DEADLINE_MS), (client) =>
      fanOut.apply(client, log.slice(at, at + PAGE), () => undefined),
    );
  }
  const fannedMs = performance.now();
  const sender = openWebhookSender(database, config, createLogger({ level: 'warn', service: 'bench' }));
  while (sender.counts.delivered + sender.counts.retried < log.length) {
    await sender.round();
    await sender.idle();
  }
  const sentMs = performance.now();
  return { fanned: (log.length / (fannedMs - beganMs)) * 1_000, sent: (log.length / (sentMs - fannedMs)) * 1_000 };
}
