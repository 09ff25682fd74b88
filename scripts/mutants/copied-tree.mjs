import { execFileSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from '../services/child.mjs';
import { dataFolder } from '../services/data-folder.mjs';
import { onStopRequest } from '../services/on-stop-request.mjs';

/** A mutant may loop for ever; that is caught, too. Specs that need the servers take longest. */
const SPEC_TIMEOUT_MS = 300_000;
const PURE_CONFIG = 'vitest.mutants.config.ts';
/** Of what vitest printed where nothing ran. */
const TOLD_LINES = 12;
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * A copy of the working tree as it stands, uncommitted changes included, without what git ignores: faults are planted there.
 */
export class CopiedTree {
  #folder = mkdtempSync(join(tmpdir(), 'counterfoil-mutants-'));
  /** The copy shares this tree's unpacked servers; each run has a sub-folder of its own there. */
  #env = { ...process.env, COUNTERFOIL_DATA_DIR: dataFolder(), NO_COLOR: '1' };

  constructor() {
    process.on('exit', () => rmSync(this.#folder, { recursive: true, force: true }));
    onStopRequest(() => process.exit(130));
    this.#copy();
  }

  /**
   * Runs `work` while the file has another content.
   * @param {string} file @param {string} content @param {() => Promise<void>} work
   */
  async with(file, content, work) {
    const path = join(this.#folder, file);
    const source = readFileSync(path, 'utf8');
    writeFileSync(path, content);
    await work();
    writeFileSync(path, source);
  }

  /**
   * Runs one spec in the copy.
   * @param {string} spec
   * @returns {Promise<Verdict>}
   */
  async run(spec) {
    const report = join(this.#folder, 'mutants-report.json');
    const printed = join(this.#folder, 'mutants-printed.txt');
    rmSync(report, { force: true });
    const output = openSync(printed, 'w');
    // Under the Node that the tests need, whoever started this.
    const vitest = [process.execPath, join(root, 'scripts', 'run.mjs'), 'bin', 'vitest'];
    const pure = spec.endsWith('.spec.ts') ? ['--config', PURE_CONFIG] : [];
    const args = ['run', '--bail=1', '--reporter=json', '--reporter=default', `--outputFile=${report}`, ...pure, spec];
    const child = new Child('vitest', [...vitest, ...args], {
      cwd: this.#folder,
      env: this.#env,
      stdio: ['ignore', output, output],
      timeout: SPEC_TIMEOUT_MS,
    });
    const how = await child.ended;
    closeSync(output);
    const { exitCode, signalCode } = child.process;
    if (exitCode === null && signalCode === null) throw new Error(`vitest: ${how}`);
    if (signalCode) return { verdict: 'failed', first: `no end within ${SPEC_TIMEOUT_MS / 1_000} s` };
    return verdictOf(report, exitCode) ?? { verdict: 'did not run', first: lastLines(printed) };
  }

  #copy() {
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
      encoding: 'utf8',
    });
    for (const file of listed.split('\0')) {
      if (file === '' || !existsSync(join(root, file))) continue;
      mkdirSync(dirname(join(this.#folder, file)), { recursive: true });
      cpSync(join(root, file), join(this.#folder, file));
    }
    symlinkSync(join(root, 'node_modules'), join(this.#folder, 'node_modules'));
    // Pure specs need no servers.
    writeFileSync(
      join(this.#folder, PURE_CONFIG),
      `import config from './vitest.config.js';\nexport default { ...config, test: { ...config.test, globalSetup: [] } };\n`,
    );
  }
}

/**
 * `first`: the first test that failed, or why none ran.
 * @typedef {{ verdict: 'passed' | 'failed' | 'did not run', first?: string }} Verdict
 */

/**
 * Undefined where no test says anything.
 * @param {string} report @param {number | null} code @returns {Verdict | undefined}
 */
function verdictOf(report, code) {
  if (!existsSync(report)) return undefined;
  const { numTotalTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const tests = testResults.flatMap(
    (/** @type {{ assertionResults: { status: string, fullName: string }[] }} */ file) => file.assertionResults,
  );
  const failed = tests.find((/** @type {{ status: string }} */ test) => test.status === 'failed');
  if (failed) return { verdict: 'failed', first: failed.fullName };
  // A syntax error or a failed import is no proof that a test saw the bug.
  return code === 0 && numTotalTests > 0 ? { verdict: 'passed' } : undefined;
}

/** @param {string} file */
function lastLines(file) {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return `\n${lines.slice(-TOLD_LINES).join('\n')}`;
}
