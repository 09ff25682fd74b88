// npm run night -- --date YYYY-MM-DD [--merchant <id> …]: has a business day settled by the service of this checkout, or by the one at
// --url with the operator's --key, and tells how it goes. Exit code 0: all is settled; 1: something is not, or no answer came; 2: nothing
// was asked.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { callApi } from './call-api.mjs';
import { Progress } from './night-progress.mjs';
import { printSummary } from './night-summary.mjs';
import { useRunningApi } from './services/running.mjs';
import { ServicesError } from './services/services-error.mjs';

const POLL_MS = 250;
const DEFAULT_TIMEOUT_S = 3_600;
/** A run that nobody has begun by then: either no worker runs, or it is busy with others. */
const UNBEGUN_MS = 10_000;
const USAGE =
  'npm run night -- --date YYYY-MM-DD [--merchant <id> …] [--timeout <seconds>] [--url <address> --key <operator key>]';

/** @param {string} message @param {number} code @returns {never} */
function end(message, code) {
  console.error(`counterfoil: ${message}`);
  process.exit(code);
}

function options() {
  const text = /** @type {const} */ ({ type: 'string' });
  const known = {
    date: text,
    url: text,
    key: text,
    timeout: text,
    merchant: { ...text, multiple: /** @type {const} */ (true) },
  };
  try {
    const { values } = parseArgs({ options: known });
    const timeoutS = Number(values.timeout ?? DEFAULT_TIMEOUT_S);
    if (values.date === undefined) throw new Error('say which day');
    if (!(timeoutS > 0)) throw new Error('--timeout is a number of seconds');
    if ((values.url === undefined) !== (values.key === undefined)) throw new Error('--url and --key go together');
    return { ...values, date: values.date, timeoutS };
  } catch (error) {
    return end(`${/** @type {Error} */ (error).message}: ${USAGE}`, 2);
  }
}

/** @param {{ url?: string | undefined, key?: string | undefined }} given */
function placeOf({ url, key }) {
  if (url !== undefined && key !== undefined) return { url: url.replace(/\/+$/, ''), key };
  useRunningApi();
  const { COUNTERFOIL_URL, COUNTERFOIL_OPERATOR_KEY } = process.env;
  if (!COUNTERFOIL_URL || !COUNTERFOIL_OPERATOR_KEY)
    return end('set COUNTERFOIL_OPERATOR_KEY beside COUNTERFOIL_URL.', 2);
  return { url: COUNTERFOIL_URL, key: COUNTERFOIL_OPERATOR_KEY };
}

/**
 * The run, once it is over. @param {import('./night-summary.mjs').Call} call @param {{ id: string }} started @param {number} timeoutS
 */
async function finished(call, started, timeoutS) {
  const progress = new Progress(process.stdout);
  const startedMs = performance.now();
  let hasWarned = false;
  for (;;) {
    const run = await call('GET', `/v1/settlement_runs/${started.id}`);
    progress.show(run);
    if (run.finished_at !== null) return run;
    const waitedMs = performance.now() - startedMs;
    if (waitedMs > timeoutS * 1_000)
      throw new ServicesError(
        `the run is not over after ${timeoutS} s. It goes on by itself; look at it with GET /v1/settlement_runs/${run.id}`,
      );
    if (run.status === 'queued' && waitedMs > UNBEGUN_MS && !hasWarned) {
      progress.say('no worker has begun yet: does one run, and the queue’s Redis? GET /v1/jobs tells.');
      hasWarned = true;
    }
    await sleep(POLL_MS);
  }
}

const { date, merchant, timeoutS, ...given } = options();
const { url, key } = placeOf(given);
/** @type {import('./night-summary.mjs').Call} */
const call = (method, path, more = {}) => callApi({ url, key, method, path, ...more });
try {
  const body = { business_date: date, ...(merchant && { merchant_ids: merchant }) };
  const started = await call('POST', '/v1/settlement_runs', { body, idempotencyKey: randomUUID() });
  const { total } = started.merchants;
  console.log(`settlement run ${started.id}: ${date}, ${total} ${total === 1 ? 'merchant' : 'merchants'}`);
  const run = await finished(call, started, timeoutS);
  await printSummary(call, run, merchant);
  process.exitCode = run.merchants.failed > 0 || run.errors.length > 0 ? 1 : 0;
} catch (error) {
  if (!(error instanceof ServicesError)) throw error;
  end(error.message, 1);
}
