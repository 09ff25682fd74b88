import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { appendEvents } from './bulk-events.js';
import { postmasterOf } from './cpu.js';
import { drain, untilRegistered } from './drain.js';
import { costliest } from './statements.js';
import { WorkerProcess } from './worker-process.js';

/** `npm run bench:outbox`: a log of many events through the relay and its consumers; none lost, none applied twice. */

const WORKER = join(import.meta.dirname, '..', 'apps', 'worker', 'src', 'main.js');
const CRASH_EVERY_MS = 8_000;
/** So that a worker which was killed is not waited for longer than the drain takes. */
const IMPATIENT = {
  RELAY_LEASE_MS: '1500',
  CONSUMER_JOB_LOCK_MS: '1500',
  CONSUMER_TIMEOUT_MS: '3000',
  RELAY_RESEND_MS: '3000',
};

/** daily_summaries beside a fold of the log's own. */
const WRONG = `
WITH folded AS (
  SELECT e.merchant_id, ((e.data ->> 'effective_at')::timestamptz AT TIME ZONE m.time_zone)::date AS day, (x ->> 'account_id')::bigint AS account_id,
         e.data ->> 'type' AS type, x ->> 'currency' AS currency,
         count(*) FILTER (WHERE x ->> 'direction' = 'debit') AS debit_count,
         coalesce(sum((x ->> 'posted')::numeric) FILTER (WHERE x ->> 'direction' = 'debit'), 0) AS debit_amount,
         count(*) FILTER (WHERE x ->> 'direction' = 'credit') AS credit_count,
         coalesce(sum((x ->> 'posted')::numeric) FILTER (WHERE x ->> 'direction' = 'credit'), 0) AS credit_amount
    FROM events e JOIN merchants m ON m.id = e.merchant_id CROSS JOIN LATERAL json_array_elements(e.data -> 'entries') x
   GROUP BY 1, 2, 3, 4, 5
)
SELECT count(*) FILTER (WHERE f.day IS NULL OR s.day IS NULL
                           OR (f.debit_count, f.debit_amount, f.credit_count, f.credit_amount)
                              <> (s.debit_count, s.debit_amount, s.credit_count, s.credit_amount))::int AS wrong,
       count(*)::int AS summaries, coalesce(sum(f.debit_count), 0)::int AS told, coalesce(sum(s.debit_count), 0)::int AS applied,
       (SELECT count(*) FROM dead_letters)::int AS letters
  FROM folded f FULL JOIN daily_summaries s USING (merchant_id, day, account_id, type, currency)`;

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    merchants: { type: 'string', default: '200' },
    crash: { type: 'boolean', default: false },
    statements: { type: 'boolean', default: false },
  },
});
const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:outbox');
const scratch = await scratchDatabase(serverUrl, 'outbox');
const owner = new pg.Client({ connectionString: scratch.url });
await owner.connect();
const env = {
  DATABASE_URL: scratch.url,
  DATABASE_RUNTIME_URL: scratch.runtimeUrl,
  ...(values.crash ? IMPATIENT : {}),
};
let worker: WorkerProcess | undefined;
try {
  worker = await WorkerProcess.start(WORKER, env);
  await untilRegistered(owner);
  await worker.end('SIGTERM');
  const appendedAt = performance.now();
  const events = await appendEvents(owner, Number(values.events), Number(values.merchants));
  const appendSeconds = (performance.now() - appendedAt) / 1_000;
  console.log(`${events} events of ${values.merchants} merchants appended in ${appendSeconds.toFixed(1)} s`);
  await owner.query('VACUUM ANALYZE');
  const postmasterPid = postmasterOf((await owner.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
  worker = await WorkerProcess.start(WORKER, env);
  let [crashes, isDrained] = [0, false];
  const crashing = (async () => {
    while (values.crash) {
      for (let waited = 0; waited < CRASH_EVERY_MS && !isDrained; waited += 100) await sleep(100);
      if (isDrained) return;
      await worker?.end('SIGKILL');
      worker = await WorkerProcess.start(WORKER, env);
      crashes += 1;
    }
  })();
  if (values.statements) await owner.query('CREATE EXTENSION pg_stat_statements');
  const drained = await drain(owner, postmasterPid, () => worker as WorkerProcess);
  isDrained = true;
  if (values.statements) console.log(await costliest(owner));
  await crashing;
  const { wrong, summaries, told, applied, letters } = (await owner.query(WRONG)).rows[0];
  const { workerUs, consumersUs, postgresUs } = drained.cpu;
  console.log(
    `drained ${drained.events} of them in ${drained.seconds.toFixed(1)} s: ${drained.perSecond.toFixed(0)} events/s` +
      (crashes > 0
        ? `, the worker killed ${crashes} times meanwhile`
        : `; CPU an event: worker ${workerUs.toFixed(1)} µs, consumers ${consumersUs.toFixed(1)} µs, PostgreSQL ${postgresUs.toFixed(1)} µs`),
  );
  const [lost, twice] = [Math.max(0, told - applied), Math.max(0, applied - told)];
  console.log(
    `lost ${lost}, applied twice ${twice}, dead letters ${letters}; ${wrong} of ${summaries} daily summaries differ from a fold of the log`,
  );
  if (wrong > 0 || letters > 0 || told !== events) process.exitCode = 1;
} finally {
  await worker?.end('SIGTERM');
  await owner.end();
  await scratch.drop();
}
