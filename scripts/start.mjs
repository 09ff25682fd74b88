// npm start: private servers, build, migrations, API, worker and demo data, with one Ctrl-C to end it all.
import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seedDemo } from './demo.mjs';
import { openDemoWebhooks } from './demo-webhooks.mjs';
import { portFor, portOrNext } from './ports.mjs';
import { dataFolder, openSubFolder } from './services/data-folder.mjs';
import { exitWith, onStopRequest } from './services/on-stop-request.mjs';
import { announceRunning } from './services/running.mjs';
import { ServicesError } from './services/services-error.mjs';
import { privateServers, serviceEnvironment, startServices } from './services/start-services.mjs';
import { until } from './services/until.mjs';

const DEFAULT_PORT = 3000;
/** The API's; the worker has the next one. What Prometheus' registry of ports has for OpenTelemetry. */
const DEFAULT_METRICS_PORT = 9464;
const READY_WITHIN_MS = 60_000;
/** The API's and the worker's own grace (SHUTDOWN_GRACE_MS) ends well before. */
const KILL_AFTER_MS = 20_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (/** @type {string} */ message) => console.log(`counterfoil: ${message}`);

/** @typedef {{ name: string, process: import('node:child_process').ChildProcess, ended: Promise<string> }} Child */

/** @param {string} name @param {string[]} args @param {NodeJS.ProcessEnv} env @returns {Child} */
function run(name, args, env) {
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`));
  });
  return { name, process: child, ended };
}

/** @param {string} name @param {string[]} args @param {NodeJS.ProcessEnv} env */
async function runToEnd(name, args, env) {
  const how = await run(name, args, env).ended;
  if (how !== 'code 0') throw new ServicesError(`${name} failed (${how}); what it said is above.`);
}

/** Compiles apps and libs; incremental, so that a second start takes a second. */
function build() {
  const require = createRequire(import.meta.url);
  return runToEnd(
    'the build',
    [require.resolve('typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
    process.env,
  );
}

function firstSteps() {
  const servers = privateServers();
  return servers.length === 0 ? 'building' : `starting ${servers.join(' and ')}, and building`;
}

/** The platform's key: from the environment, else made once and kept with the data. @param {string} folder */
function operatorKey(folder) {
  if (process.env.COUNTERFOIL_OPERATOR_KEY) return process.env.COUNTERFOIL_OPERATOR_KEY;
  const file = join(folder, 'operator-key');
  if (!existsSync(file)) writeFileSync(file, `cfo_${randomBytes(24).toString('hex')}\n`, { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}

/**
 * Lists go on after a restart: the private PostgreSQL has no password that it could be derived from, as elsewhere.
 * @param {string} operator
 */
function cursorSecret(operator) {
  const { CURSOR_SECRET: given, DATABASE_URL: elsewhere } = process.env;
  return given || elsewhere ? given : createHmac('sha256', operator).update('counterfoil cursors').digest('base64url');
}

/** @param {Child[]} children */
async function stopAll(children) {
  for (const { process: child } of children) child.kill('SIGTERM');
  const timer = setTimeout(() => {
    for (const { process: child } of children) child.kill('SIGKILL');
  }, KILL_AFTER_MS);
  await Promise.all(children.map(({ ended }) => ended));
  clearTimeout(timer);
}

/** @param {string} url @param {Child} api */
async function untilReady(url, api) {
  let ended = '';
  api.ended.then((how) => {
    ended = how;
  });
  const ready = await until(READY_WITHIN_MS, async () => {
    if (ended) throw new ServicesError(`the API ended (${ended}) before it was ready; what it said is above.`);
    const response = await fetch(`${url}/readyz`).catch(() => undefined);
    return response?.ok ?? false;
  });
  if (!ready)
    throw new ServicesError(`the API was not ready within ${READY_WITHIN_MS / 1_000} s; ${url}/readyz says why.`);
}

/** @type {Child[]} */
const children = [];
/** @type {Awaited<ReturnType<typeof startServices>> | undefined} */
let services;
/** @type {Awaited<ReturnType<typeof openDemoWebhooks>> | undefined} */
let webhooks;
/** @type {(value: undefined) => void} */
let stopAsked = () => {};
/** @type {Promise<undefined>} */
const asked = new Promise((resolve) => {
  stopAsked = resolve;
});
onStopRequest(() => stopAsked(undefined));

/** @returns {Promise<Error | undefined>} why it ended, undefined when somebody asked */
async function serve() {
  const choosePort = () => portFor({ setting: 'PORT', preferred: DEFAULT_PORT, host: process.env.HOST, say });
  // One that was asked for and cannot be had is said before anything starts; another is chosen when it is needed.
  if (process.env.PORT) await choosePort();
  say(`${firstSteps()} (the first time takes a minute)`);
  const [started] = await Promise.all([startServices({ onNotice: say }), build()]);
  services = started;
  const folder = openSubFolder(dataFolder(), 'demo');
  const port = await choosePort();
  const env = {
    ...process.env,
    ...serviceEnvironment(services),
    COUNTERFOIL_OPERATOR_KEY: operatorKey(folder),
    CURSOR_SECRET: cursorSecret(operatorKey(folder)),
    PORT: String(port),
    LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn',
    WEBHOOK_ALLOW_LOOPBACK: process.env.WEBHOOK_ALLOW_LOOPBACK || '1',
  };
  const isDemo = process.env.COUNTERFOIL_DEMO !== '0';
  // Before the worker, which may have something for it from the last time.
  if (isDemo) webhooks = await openDemoWebhooks({ folder, say });
  await runToEnd('the migration', ['dist/db/migrate-cli.js'], env);
  const first = process.env.METRICS_PORT ? Number(process.env.METRICS_PORT) : DEFAULT_METRICS_PORT;
  const apiMetrics = await portOrNext(first);
  const workerMetrics = await portOrNext(apiMetrics + 1);
  const api = run('the API', ['--enable-source-maps', 'dist/apps/api/src/main.js'], {
    ...env,
    METRICS_PORT: String(apiMetrics),
  });
  children.push(api);
  children.push(
    run('the worker', ['--enable-source-maps', 'dist/apps/worker/src/main.js'], {
      ...env,
      METRICS_PORT: String(workerMetrics),
    }),
  );
  const url = `http://127.0.0.1:${port}`;
  await untilReady(url, api);
  const { COUNTERFOIL_OPERATOR_KEY: operator } = env;
  announceRunning(folder, {
    ...serviceEnvironment(services),
    DATABASE_RUNTIME_URL: process.env.DATABASE_RUNTIME_URL,
    COUNTERFOIL_URL: url,
    COUNTERFOIL_OPERATOR_KEY: operator,
  });
  say(`ready: ${url}   API documentation: ${url}/docs   queues: ${url}/board (password: the operator key)`);
  say(`metrics: http://127.0.0.1:${apiMetrics}/metrics (API), http://127.0.0.1:${workerMetrics}/metrics (worker)`);
  if (isDemo) {
    const { banner, exampleIds } = await seedDemo({ url, operatorKey: operator, folder, webhooks });
    api.process.send({ exampleIds });
    console.log(banner);
  } else console.log(`\n  export URL=${url}\n  export OPERATOR_KEY=${operator}\n`);
  say('Ctrl-C stops everything; the data stays in .counterfoil (`npm run reset` deletes it).');
  const child = Promise.race(
    children.map(({ name, ended }) => ended.then((how) => new ServicesError(`${name} ended (${how}).`))),
  );
  return Promise.race([child, services.lost]);
}

try {
  const why = await Promise.race([asked, serve()]);
  await stopAll(children);
  webhooks?.close();
  await services?.stop();
  if (why) exitWith(why);
  process.exit(0);
} catch (error) {
  await stopAll(children);
  webhooks?.close();
  await services?.stop();
  exitWith(error);
}
