// npm start: private servers, build, migrations, API, worker and demo data, with one Ctrl-C to end it all.
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './compile.mjs';
import { seedDemo } from './demo.mjs';
import { startBank } from './demo-bank.mjs';
import { startSimulator } from './demo-payments.mjs';
import { openDemoWebhooks } from './demo-webhooks.mjs';
import { portFor } from './ports.mjs';
import { startPrograms } from './programs.mjs';
import { Child } from './services/child.mjs';
import { dataFolder, openSubFolder } from './services/data-folder.mjs';
import { announceRunning } from './services/running.mjs';
import { ServicesError } from './services/services-error.mjs';
import { privateServers, serviceEnvironment, startServices } from './services/start-services.mjs';
import { supervise } from './services/supervise.mjs';

const DEFAULT_PORT = 3000;

const say = (/** @type {string} */ message) => console.log(`counterfoil: ${message}`);

/** @typedef {import('./services/supervise.mjs').Keep} Keep */

/** @param {Keep} keep @param {string} name @param {string[]} args @param {NodeJS.ProcessEnv} env */
async function runToEnd(keep, name, args, env) {
  const how = await keep(Child.node(name, args, { cwd: root, env })).ended;
  if (how !== 'code 0') throw new ServicesError(`${name} failed (${how}); what it said is above.`);
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

const choosePort = () => portFor({ setting: 'PORT', preferred: DEFAULT_PORT, host: process.env.HOST, say });

await supervise(async (keep) => {
  // One that was asked for and cannot be had is said before anything starts; another is chosen when it is needed.
  if (process.env.PORT) await choosePort();
  say(`${firstSteps()} (the first time takes a minute)`);
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const [services] = await Promise.all([
    startServices({ onNotice: say }).then(keep),
    // Nothing is read again where nothing has changed (-b), so that a second start takes a second.
    runToEnd(keep, 'the build', [compiler, '-b', join(root, 'tsconfig.build.json')], process.env),
  ]);
  const folder = openSubFolder(dataFolder(), 'demo');
  const operator = operatorKey(folder);
  const bank = process.env.BANK_URL ? undefined : await startBank(keep, folder);
  const env = {
    ...process.env,
    ...bank?.env,
    ...serviceEnvironment(services),
    COUNTERFOIL_OPERATOR_KEY: operator,
    CURSOR_SECRET: cursorSecret(operator),
    LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn',
    WEBHOOK_ALLOW_LOOPBACK: process.env.WEBHOOK_ALLOW_LOOPBACK || '1',
  };
  // Before the worker, which may have something for it from the last time.
  const isDemo = process.env.COUNTERFOIL_DEMO !== '0';
  const webhooks = isDemo ? keep(await openDemoWebhooks({ folder, say })) : undefined;
  const simulator = isDemo ? startSimulator(keep) : undefined;
  await runToEnd(keep, 'the migration', ['dist/db/migrate-cli.js'], env);
  const { api, worker, url, apiMetrics, workerMetrics } = await startPrograms({ keep, env, choosePort });
  bank?.callBack(`${url}/v1/bank/callbacks`);
  announceRunning(folder, {
    ...bank?.env,
    ...serviceEnvironment(services),
    DATABASE_RUNTIME_URL: process.env.DATABASE_RUNTIME_URL,
    COUNTERFOIL_URL: url,
    COUNTERFOIL_OPERATOR_KEY: operator,
  });
  say(`ready: ${url}   API documentation: ${url}/docs   queues: ${url}/board (password: the operator key)`);
  if (bank) say(`simulated bank: ${bank.env.BANK_URL} (start with a BANK_SECRET of your own to ask it yourself)`);
  say(`metrics: http://127.0.0.1:${apiMetrics}/metrics (API), http://127.0.0.1:${workerMetrics}/metrics (worker)`);
  if (simulator) {
    const place = bank && { url: bank.env.BANK_URL, secret: bank.env.BANK_SECRET };
    const options = { url, operatorKey: operator, folder, webhooks, simulator: await simulator.place(), night: true };
    const { banner, exampleIds } = await seedDemo({ ...options, bank: place });
    api.process.send?.({ exampleIds });
    console.log(banner);
  } else console.log(`\n  export URL=${url}\n  export OPERATOR_KEY=${operator}\n`);
  say('Ctrl-C stops everything; the data stays in .counterfoil (`npm run reset` deletes it).');
  throw await Promise.race([
    api.ended.then((how) => new ServicesError(`the API ended (${how}).`)),
    worker.ended.then((how) => new ServicesError(`the worker ended (${how}).`)),
    ...(bank ? [bank.ended.then((how) => new ServicesError(`the bank simulator ended (${how}).`))] : []),
    ...(simulator ? [simulator.ended.then((how) => new ServicesError(`the provider simulator ended (${how}).`))] : []),
    services.lost,
  ]);
});
