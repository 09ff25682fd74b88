// npm run fuzz [-- options of schemathesis]: schemathesis sends what /openapi.json allows, and what it does not, to the service
// of this checkout, once as an operator and once as a merchant, and holds each answer against the document. schemathesis is found on
// PATH or in the user's cache, else installed there through Python where Python is present, else said how to get.
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { callApi } from './call-api.mjs';
import { cacheFolder } from './services/cache-folder.mjs';
import { dataFolder } from './services/data-folder.mjs';
import { useRunningApi } from './services/running.mjs';

const SCHEMATHESIS = 'schemathesis==4.32.0';
const HOW = `Get it with \`pip install ${SCHEMATHESIS}\` (https://schemathesis.readthedocs.io), or install Python 3 with venv, and run this again.`;
/** Streams and long polls wait for what happens: a request of the fuzzer is over in time. */
const REQUEST_SECONDS = '30';

const REPORTS = join(dataFolder(), 'fuzz');

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`counterfoil: ${message}`);
  process.exit(2);
}

/** @param {string} file @param {string[]} args */
const run = (file, args) => spawnSync(file, args, { cwd: REPORTS, stdio: 'inherit' }).status;

function findSchemathesis() {
  if (spawnSync('schemathesis', ['--version']).status === 0) return 'schemathesis';
  const venv = join(cacheFolder({ shared: false }), SCHEMATHESIS.replace('==', '-'));
  const own = join(venv, 'bin', 'schemathesis');
  if (existsSync(own)) return own;
  if (spawnSync('python3', ['--version']).status !== 0) fail(`schemathesis is not installed. ${HOW}`);
  console.log(`counterfoil: installing ${SCHEMATHESIS} into ${venv}`);
  const isThere =
    run('python3', ['-m', 'venv', venv]) === 0 && run(join(venv, 'bin', 'pip'), ['install', '-q', SCHEMATHESIS]) === 0;
  if (!isThere) fail(`${SCHEMATHESIS} could not be installed; what was said is above. ${HOW}`);
  return own;
}

/** The merchant whose ids /openapi.json gives as examples, so that requests reach what is there. */
async function exampleMerchant() {
  const { paths } = /** @type {any} */ (await (await fetch(`${COUNTERFOIL_URL}/openapi.json`)).json());
  const ofPath = paths['/v1/merchants/{id}'].get.parameters.find((/** @type {any} */ one) => one.in === 'path');
  return (
    ofPath.example ?? fail('/openapi.json names no merchant as an example: fuzz a service that `npm start` began.')
  );
}

/** @param {string} merchant @returns {Promise<string>} a new key of it */
async function newKey(merchant) {
  const request = { url: COUNTERFOIL_URL, key: OPERATOR, method: 'POST', path: `/v1/merchants/${merchant}/api_keys` };
  return (await callApi({ ...request, body: {}, idempotencyKey: randomUUID() })).secret;
}

/**
 * All checks but `positive_data_acceptance`: a request of the right form may ask for what cannot be. `GET /v1/transactions/batch` is
 * `GET /v1/transactions/{id}`, answered 404 and not 405; a batch of provider events is taken, and each wrong one answered by itself.
 * @param {string} merchant for whom an operator acts
 */
const configuration = (merchant) => `[parameters]
"header.Counterfoil-Merchant" = "${merchant}"

[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "431", "5xx"]

[[operations]]
include-path-regex = "^/v1/(transactions/batch|breaks/proposals|provider_events/batch)$"
checks.unsupported_method.enabled = false

[[operations]]
include-path = "/v1/provider_events/batch"
checks.negative_data_rejection.enabled = false
`;

useRunningApi();
const { COUNTERFOIL_URL = '', COUNTERFOIL_OPERATOR_KEY: OPERATOR = '' } = process.env;
if (!OPERATOR) fail('set COUNTERFOIL_OPERATOR_KEY beside COUNTERFOIL_URL.');
mkdirSync(REPORTS, { recursive: true });
const schemathesis = findSchemathesis();
const merchant = await exampleMerchant();
writeFileSync(join(REPORTS, 'schemathesis.toml'), configuration(merchant));
let worst = 0;
for (const [who, key] of [
  ['operator', OPERATOR],
  ['merchant', await newKey(merchant)],
]) {
  console.log(`counterfoil: as ${who}`);
  const status = run(schemathesis, [
    ...['--config-file', join(REPORTS, 'schemathesis.toml'), 'run', `${COUNTERFOIL_URL}/openapi.json`],
    ...['--header', `Authorization: Bearer ${key}`, '--request-timeout', REQUEST_SECONDS],
    ...['--continue-on-failure', '--warnings', 'off', '--generation-database', ':memory:'],
    ...['--report', 'junit,json', '--report-dir', join(REPORTS, who ?? '')],
    ...process.argv.slice(2),
  ]);
  worst = Math.max(worst, status ?? 1);
}
process.exit(worst);
