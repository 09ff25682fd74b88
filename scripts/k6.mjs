// npm run k6 -- <scenario> [k6 options]: runs k6/<scenario>.ts against the service of this checkout. k6 is found on PATH or in Go's
// folder, else installed through Go where Go is present, else said how to get.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serveElsewhere } from './elsewhere.mjs';
import { useRunningApi } from './services/running.mjs';

const K6 = 'go.k6.io/k6@v1.8.1';
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const scenarios = readdirSync(join(root, 'k6')).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -3)] : []));

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`counterfoil: ${message}`);
  process.exit(1);
}

/** @param {string} program */
function onPath(program) {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(existsSync);
}

function findK6() {
  const inGo = join(process.env.GOBIN ?? join(process.env.GOPATH ?? join(homedir(), 'go'), 'bin'), 'k6');
  const found = onPath('k6') ?? (existsSync(inGo) ? inGo : undefined);
  if (found) return found;
  const go = onPath('go');
  if (!go)
    fail(
      'k6 is not installed. Get it from https://grafana.com/docs/k6/latest/set-up/install-k6/, or install Go and run this again.',
    );
  console.log(`counterfoil: installing ${K6} through Go (about two minutes)`);
  if (spawnSync(go, ['install', K6], { stdio: 'inherit' }).status !== 0)
    fail(`go install ${K6} failed; what it said is above.`);
  return inGo;
}

const [scenario = '', ...options] = process.argv.slice(2);
if (!scenarios.includes(scenario)) fail(`say which scenario: npm run k6 -- ${scenarios.join(' | ')}`);
useRunningApi();
if (!process.env.COUNTERFOIL_OPERATOR_KEY) fail('set COUNTERFOIL_OPERATOR_KEY beside COUNTERFOIL_URL.');
const elsewhere = await serveElsewhere();
const k6 = spawn(findK6(), ['run', '--no-usage-report', ...options, join('k6', `${scenario}.ts`)], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, COUNTERFOIL_ELSEWHERE: elsewhere },
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => k6.kill(signal));
k6.once('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
