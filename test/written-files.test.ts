import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { filesOfOps } from '../ops/files.js';
import { blocksOf } from './support/page.js';

/** The commands that write files of the repository write them as they are in it. They are run in a copy. */

const ROOT = join(import.meta.dirname, '..');
const READ = ['apps', 'libs', 'db', 'bench', 'node_modules', 'package.json', 'tsconfig.json', 'tsconfig.build.json'];
/** With their times: what is compiled already is not compiled again. */
const COPIED = ['dist', 'scripts', 'ops', 'docs', 'test/golden'];
const LIMIT_MS = 120_000;
const [forAll, elsewhere] = blocksOf('../ops/README.md').map(({ code }) => /^[^#\n]+[^ #\n]/.exec(code)?.[0] ?? '');

let copy: string;
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'counterfoil-written-'));
  for (const name of READ) symlinkSync(join(ROOT, name), join(copy, name));
  for (const name of COPIED.filter((one) => existsSync(join(ROOT, one))))
    cpSync(join(ROOT, name), join(copy, name), { recursive: true, preserveTimestamps: true });
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

/** Answers which of these files it has not written as they are here. They are of yesterday when it begins. */
function notWritten(command: string, texts: Map<string, string>): string[] {
  for (const file of texts.keys()) writeFileSync(join(copy, file), 'of yesterday');
  const env = { ...process.env, npm_config_loglevel: 'silent' };
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: copy, env, encoding: 'utf8' });
  expect([status, stdout, stderr]).toEqual([0, '', '']);
  return [...texts].filter(([file, text]) => readFileSync(join(copy, file), 'utf8') !== text).map(([file]) => file);
}

test.each([
  ['npm run docs:config', 'docs/configuration.md'],
  ['npm run docs:events', 'docs/events.md'],
])('%s writes %s', { timeout: LIMIT_MS }, (command, page) => {
  expect(notWritten(command, new Map([[page, readFileSync(join(ROOT, page), 'utf8')]]))).toEqual([]);
});

test.each([
  [forAll, undefined],
  [elsewhere, /RUNBOOK_URL=(\S+)/.exec(elsewhere ?? '')?.[1]],
])('%s writes what lies in ops/, with alerts that link there', { timeout: LIMIT_MS }, (command = '', address) => {
  expect(command).toMatch(/npm run docs:ops$/);
  const texts = [...filesOfOps(address)].map(([name, text]) => [`ops/${name}`, text] as const);
  expect(notWritten(command, new Map(texts))).toEqual([]);
  expect(readFileSync(join(copy, 'ops/alerts.yml'), 'utf8')).toContain(`runbook_url: "${address ?? ''}`);
});
