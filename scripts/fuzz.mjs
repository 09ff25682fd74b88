// npm run fuzz [-- options of schemathesis]: schemathesis sends what /openapi.json allows, and what it does not, to the service
// of this checkout, once as an operator and once as a merchant, and holds each answer against the document. schemathesis is found on
// PATH or in the user's cache, else installed there through Python where Python is present, else said how to get.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { callApi } from './call-api.mjs';
import { root } from './compile.mjs';
import { cacheFolder } from './services/cache-folder.mjs';
import { useRunningApi } from './services/running.mjs';

const SCHEMATHESIS = 'schemathesis==4.32.0';
const HOW = `Get it with \`pip install ${SCHEMATHESIS}\` (https://schemathesis.readthedocs.io), or install Python 3 with venv, and run this again.`;
/** What a request asks for may be impossible (no such account) though its form is right: `positive_data_acceptance` is not held. */
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'unsupported_method',
  'ignored_auth',
];
/** Streams and long polls wait for what happens: a request of the fuzzer is over in time. */
const REQUEST_SECONDS = '30';

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`counterfoil: ${message}`);
  process.exit(2);
}

/** @param {string} file @param {string[]} args */
const run = (file, args) => spawnSync(file, args, { cwd: root, stdio: 'inherit' }).status;

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

/** A merchant of its own, with the plan of everybody: what schemathesis does to it, it does to nobody else. */
async function openMerchant() {
  const { COUNTERFOIL_URL: url = '', COUNTERFOIL_OPERATOR_KEY: key = '' } = process.env;
  const body = { name: 'Fuzz', time_zone: 'Europe/Berlin', settlement_cutoff: '23:00', currencies: ['EUR'] };
  return (await callApi({ url, key, method: 'POST', path: '/v1/merchants', body })).api_key.secret;
}

useRunningApi();
const { COUNTERFOIL_URL, COUNTERFOIL_OPERATOR_KEY } = process.env;
if (!COUNTERFOIL_OPERATOR_KEY) fail('set COUNTERFOIL_OPERATOR_KEY beside COUNTERFOIL_URL.');
const schemathesis = findSchemathesis();
const keys = { operator: COUNTERFOIL_OPERATOR_KEY, merchant: await openMerchant() };
let worst = 0;
for (const [who, key] of Object.entries(keys)) {
  console.log(`counterfoil: as ${who}`);
  const status = run(schemathesis, [
    'run',
    `${COUNTERFOIL_URL}/openapi.json`,
    ...['--header', `Authorization: Bearer ${key}`, '--checks', CHECKS.join(','), '--request-timeout', REQUEST_SECONDS],
    ...[
      '--continue-on-failure',
      '--generation-database',
      ':memory:',
      '--report',
      'json,junit',
      '--report-dir',
      `.counterfoil/fuzz/${who}`,
    ],
    ...process.argv.slice(2),
  ]);
  worst = Math.max(worst, status ?? 1);
}
process.exit(worst);
