// npm run test:mutants [-- <part of a name, file or spec>…]: plants the bugs of scripts/mutants/table.mjs one at a time in a
// copy of the tree and runs their specs. Exit 1 when a spec stays green beside its bug, or when a bug cannot be planted.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MUTANTS } from './mutants/table.mjs';
import { dataFolder } from './services/data-folder.mjs';
import { onStopRequest } from './services/on-stop-request.mjs';

/** A mutant may loop for ever; that is caught, too. Specs that need the servers take longest. */
const SPEC_TIMEOUT_MS = 300_000;
const PURE_CONFIG = 'vitest.mutants.config.ts';
const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** The copy shares this tree's unpacked servers; each run has a sub-folder of its own there. */
const env = { ...process.env, COUNTERFOIL_DATA_DIR: dataFolder() };

const wanted = process.argv.slice(2);
const mutants = MUTANTS.filter(
  ({ name, file, specs }) =>
    wanted.length === 0 || wanted.some((part) => [name, file, ...specs].some((text) => text.includes(part))),
);

const copy = mkdtempSync(join(tmpdir(), 'counterfoil-mutants-'));
/** @type {import('node:child_process').ChildProcess | undefined} */
let running;
process.on('exit', () => rmSync(copy, { recursive: true, force: true }));
onStopRequest(() => {
  running?.kill();
  process.exit(130);
});

/** The working tree as it stands, uncommitted changes included, without what git ignores. */
function copyTree() {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  for (const file of listed.split('\0')) {
    if (file === '' || !existsSync(join(root, file))) continue;
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  // Pure specs need no servers.
  writeFileSync(
    join(copy, PURE_CONFIG),
    `import config from './vitest.config.js';\nexport default { ...config, test: { ...config.test, globalSetup: [] } };\n`,
  );
}

/**
 * Runs one spec in the copy.
 * @param {string} spec
 * @returns {Promise<{ verdict: 'passed' | 'failed' | 'did not run', first?: string }>} `first`: the first test that failed
 */
async function run(spec) {
  const report = join(copy, 'mutants-report.json');
  rmSync(report, { force: true });
  const pure = spec.endsWith('.spec.ts');
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [
    'run',
    '--bail=1',
    '--reporter=json',
    `--outputFile=${report}`,
    ...(pure ? ['--config', PURE_CONFIG] : []),
    spec,
  ];
  const child = spawn(process.execPath, [vitest, ...args], {
    cwd: copy,
    env,
    stdio: 'ignore',
    timeout: SPEC_TIMEOUT_MS,
  });
  running = child;
  const [code, signal] = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (...ended) => resolve(ended));
  });
  running = undefined;
  if (signal) return { verdict: 'failed', first: `no end within ${SPEC_TIMEOUT_MS / 1_000} s` };
  if (!existsSync(report)) return { verdict: 'did not run' };
  const { numTotalTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const tests = testResults.flatMap(
    (/** @type {{ assertionResults: { status: string, fullName: string }[] }} */ file) => file.assertionResults,
  );
  const failed = tests.find((/** @type {{ status: string }} */ test) => test.status === 'failed');
  if (failed) return { verdict: 'failed', first: failed.fullName };
  // A syntax error or a failed import is no proof that a test saw the bug.
  return code === 0 && numTotalTests > 0 ? { verdict: 'passed' } : { verdict: 'did not run' };
}

/** @param {string} source @param {import('./mutants/table.mjs').Mutant} mutant @returns {string | undefined} */
function plant(source, { search, replace }) {
  // The formatter may break lines, so any white space will do where there is some.
  const pattern = search
    .trim()
    .split(/\s+/)
    .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join('\\s+');
  const found = [...source.matchAll(new RegExp(pattern, 'g'))];
  const [first] = found;
  if (found.length !== 1 || !first) return undefined;
  return source.slice(0, first.index) + replace + source.slice(first.index + first[0].length);
}

copyTree();
let problems = 0;
/** @param {string} line */
const complain = (line) => {
  problems += 1;
  console.log(line);
};

for (const spec of new Set(mutants.flatMap(({ specs }) => specs))) {
  const { verdict, first } = await run(spec);
  if (verdict !== 'passed') complain(`BROKEN    ${spec} ${verdict} without any mutant: ${first ?? ''}`);
}

let caught = 0;
for (const mutant of problems > 0 ? [] : mutants) {
  const path = join(copy, mutant.file);
  const source = readFileSync(path, 'utf8');
  const planted = plant(source, mutant);
  if (planted === undefined) {
    complain(`STALE     ${mutant.name}: ${mutant.file} does not have exactly one "${mutant.search}"`);
    continue;
  }
  writeFileSync(path, planted);
  for (const spec of mutant.specs) {
    const { verdict, first } = await run(spec);
    const where = `${mutant.name} (${mutant.file}), ${spec}`;
    if (verdict === 'passed') complain(`SURVIVED  ${where}`);
    else if (verdict === 'did not run') complain(`STALE     ${where}: the mutant does not run`);
    else {
      caught += 1;
      console.log(`caught    ${where}: ${first}`);
    }
  }
  writeFileSync(path, source);
}

const files = new Set(mutants.map(({ file }) => file)).size;
console.log(`${mutants.length} mutants of ${files} files: ${caught} proofs, ${problems} problems.`);
process.exit(problems > 0 || mutants.length === 0 ? 1 : 0);
