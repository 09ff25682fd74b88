// npm run k6 -- <scenario> | all [--smoke] [--lie <name>] [--lies] [k6 options]: runs k6/<scenario>.ts against the service of this checkout, keeps what
// its clients write down, and leaves reports in k6/reports. docs/load-tests.md has what each scenario is and what its report says.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serveElsewhere } from './elsewhere.mjs';
import { findK6 } from './load/find-k6.mjs';
import { Journal } from './load/journal.mjs';
import { LIES, serveLies, TOLD_TO, TRUE } from './load/lies.mjs';
import { details, outcomeOf, table } from './load/report.mjs';
import { useRunningApi } from './services/running.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const scenarios = readdirSync(join(root, 'k6')).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -3)] : []));

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`counterfoil: ${message}`);
  process.exit(1);
}

const [asked = '', ...options] = process.argv.slice(2);
/** Takes one of ours out of the options; the others are k6's. @param {string} name */
function has(name) {
  const at = options.indexOf(name);
  if (at >= 0) options.splice(at, 1);
  return at >= 0;
}
function lieAsked() {
  const at = options.indexOf('--lie');
  if (at < 0) return undefined;
  const [, name = ''] = options.splice(at, 2);
  return LIES[name] ? name : fail(`there is no such lie: --lie ${Object.keys(LIES).join(' | ')}`);
}

const isSmoke = has('--smoke');
const isWithLies = has('--lies');
const lie = lieAsked();
if (asked !== 'all' && !scenarios.includes(asked))
  fail(`say which scenario: npm run k6 -- all | ${scenarios.join(' | ')}`);
useRunningApi();
if (!process.env.COUNTERFOIL_OPERATOR_KEY) fail('set COUNTERFOIL_OPERATOR_KEY beside COUNTERFOIL_URL.');
const service = process.env.COUNTERFOIL_URL ?? '';
const program = findK6(fail);
const folderOfReports = process.env.K6_REPORTS ?? join(root, 'k6', 'reports');
const reports = join(folderOfReports, new Date().toISOString().slice(0, 19).replaceAll(':', '-'));

/** @type {import('node:child_process').ChildProcess | undefined} */
let running;
let isStopped = false;
const elsewhere = await serveElsewhere(() => running?.pid);
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.on(signal, () => {
    isStopped = true;
    // A terminal's Ctrl-C has reached k6 already: a second one would end it before it has verified.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) running?.kill(signal);
  });
}

/** One alone shows what k6 says; of all each has it in a file. @param {string} scenario @param {string | undefined} told a lie */
async function run(scenario, told) {
  const folder = join(reports, told === undefined ? scenario : `${scenario}-${told}`);
  mkdirSync(folder, { recursive: true });
  const journal = new Journal(join(folder, 'console.log'));
  const liar =
    told === undefined
      ? undefined
      : await serveLies(service, /** @type {() => import('./load/lies.mjs').Lie} */ (LIES[told])());
  const began = Date.now();
  const output = asked === 'all' ? openSync(join(folder, 'output.txt'), 'w') : undefined;
  const k6 = spawn(program, argumentsFor(scenario, folder), {
    cwd: root,
    stdio: ['ignore', output ?? 'inherit', output ?? 'inherit'],
    env: {
      ...process.env,
      ...environmentFor(folder),
      // As much as it takes: what is ambiguous is sent again, and must go well.
      ...(told !== undefined && TRUE.includes(told) && { AMBIGUOUS: '1' }),
      COUNTERFOIL_URL: liar?.url ?? service,
      COUNTERFOIL_JOURNAL: await journal.serve(),
    },
  });
  running = k6;
  const [code] = await once(k6, 'exit');
  liar?.close();
  const seconds = (Date.now() - began) / 1_000;
  const outcome = outcomeOf({ scenario, isRight: code === 0, seconds, folder, journal });
  for (const line of details(outcome, journal.said)) console.log(line);
  const isIdle = liar !== undefined && liar.lied() === 0;
  if (liar)
    console.log(
      `counterfoil: “${told}” ${isIdle ? 'had nothing to say, so this proves nothing' : `was told ${liar.lied()} times`}`,
    );
  return { ...outcome, isRight: outcome.isRight && !isIdle, isIdle, code: isIdle ? 1 : (code ?? 1) };
}

/** @param {string} scenario @param {string} folder */
function argumentsFor(scenario, folder) {
  const files = ['--console-output', join(folder, 'console.log'), '--summary-export', join(folder, 'summary.json')];
  return ['run', '--no-usage-report', '--log-format', 'raw', ...files, ...options, join('k6', `${scenario}.ts`)];
}

/** The report with graphs is k6's own. @param {string} folder */
function environmentFor(folder) {
  return {
    COUNTERFOIL_ELSEWHERE: elsewhere,
    K6_WEB_DASHBOARD: 'true',
    K6_WEB_DASHBOARD_EXPORT: join(folder, 'report.html'),
    // No server beside it, unless one is asked for.
    K6_WEB_DASHBOARD_PORT: process.env.K6_WEB_DASHBOARD_PORT ?? '-1',
    K6_WEB_DASHBOARD_PERIOD: process.env.K6_WEB_DASHBOARD_PERIOD ?? (isSmoke ? '1s' : '5s'),
    ...(isSmoke && { SMOKE: '1' }),
  };
}

const where = () => console.log(`\ncounterfoil: reports are in ${relative(process.cwd(), reports) || '.'}`);

/** Each scenario must notice what it is told wrongly. */
async function runLies() {
  const unnoticed = [];
  for (const scenario of asked === 'all' ? scenarios : [asked]) {
    for (const name of isStopped ? [] : (TOLD_TO[scenario] ?? [])) {
      const { code, broken, isIdle } = await run(scenario, name);
      const isNoticed =
        code !== 0 &&
        !isIdle &&
        broken.some((threshold) => /^(ledger_broken|checks|answers\{kind:wrong\})/.test(threshold));
      console.log(`counterfoil: ${scenario} ${isNoticed ? 'notices' : 'DOES NOT NOTICE'} “${name}”`);
      if (!isNoticed) unnoticed.push(`${scenario} ${name}`);
    }
  }
  where();
  process.exit(unnoticed.length === 0 ? 0 : 1);
}

async function runAll() {
  const outcomes = [];
  for (const scenario of asked === 'all' ? scenarios : [asked]) {
    if (isStopped) break;
    outcomes.push(await run(scenario, lie));
    if (asked === 'all') console.log(`counterfoil: ${scenario} ${outcomes.at(-1)?.code === 0 ? 'ok' : 'FAILED'}`);
  }
  const shown = table(outcomes);
  writeFileSync(join(reports, 'table.txt'), `${shown}\n`);
  console.log(`\n${shown}`);
  where();
  process.exit(outcomes.find(({ code }) => code !== 0)?.code ?? 0);
}

if (lie !== undefined && TRUE.includes(lie)) console.log(`counterfoil: “${lie}” is true: the run is to go well.`);
await (isWithLies ? runLies() : runAll());
