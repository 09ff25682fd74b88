import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { Queues } from '#platform/queues.js';
import { Progress } from '../scripts/night-progress.mjs';
import { Client, type Merchant, OPERATOR_KEY, TestApi } from './support/api.js';
import { asAdmin } from './support/database.js';
import { daysAgo, owe } from './support/night.js';
import { blocksOf } from './support/page.js';
import { commandsOf, curlRequest } from './support/shell.js';
import { until } from './support/until.js';
import { startWorker } from './support/worker.js';

const [YESTERDAY, BEFORE] = [daysAgo(1), daysAgo(2)];
const SCRIPT = join(import.meta.dirname, '..', 'scripts', 'night.mjs');
const PAGE = join(import.meta.dirname, '..', 'docs', 'night.md');
const LIMIT_MS = 120_000;
const REDIS = { REDIS_QUEUE_URL: inject('redisQueueUrl') };

let api: TestApi;
let stop: () => Promise<void>;
let folder: string;

beforeAll(async () => {
  api = await TestApi.start({ environment: REDIS });
  stop = await startWorker(api.on, REDIS);
  folder = mkdtempSync(join(tmpdir(), 'counterfoil-night-'));
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await stop();
  const queues = new Queues(inject('redisQueueUrl'), api.on.runtimeUrl);
  await queues.queue('night').obliterate({ force: true });
  await queues.close();
  await api.stop();
  rmSync(folder, { recursive: true });
});

interface Told {
  code: number;
  out: string;
  error: string;
}

function night(args: readonly string[], env: Record<string, string>): Promise<Told> {
  const options = { env: { PATH: process.env.PATH, COUNTERFOIL_DATA_DIR: folder, ...env }, timeout: LIMIT_MS };
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], options, (failed, out, error) => {
      resolve({ code: failed ? Number(failed.code) : 0, out, error });
    });
  });
}
const here = (...args: string[]): Promise<Told> => night([...args, '--url', api.url, '--key', OPERATOR_KEY], {});
const merchantArgs = (...shops: Merchant[]) => shops.flatMap(({ id }) => ['--merchant', id]);

test('a night by hand: how it goes, then what was settled', { timeout: LIMIT_MS }, async () => {
  const [one, other] = [await api.merchant(), await api.merchant('EUR', 'USD')];
  await owe(one, '1200', YESTERDAY);
  await owe(other, '300', YESTERDAY);
  const { code, out } = await here('--date', YESTERDAY, ...merchantArgs(one, other));
  expect(out).toMatch(new RegExp(`^settlement run [0-9]+: ${YESTERDAY}, 2 merchants\n`));
  expect(out).toMatch(/completed: 100 %, 2 of 2 merchants, [0-9.]+\/s\n/);
  expect(out).toContain('completed: 2 settled, 0 with nothing to settle, 0 not due, 0 failed\n');
  expect(out).toMatch(/ currency +settlements +gross +refunds +disputes +other +adjustments +fees +net\n/);
  expect(out).toMatch(/ EUR +2 +0 +0 +0 +1500 +0 +0 +1500\n/);
  expect(out).toContain('no payouts began\n');
  expect(code).toBe(0);
});

test('of all merchants, by the service that the environment names', { timeout: LIMIT_MS }, async () => {
  const env = { COUNTERFOIL_URL: api.url, COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY };
  const { code, out } = await night(['--date', YESTERDAY], env);
  expect(out).toContain('completed: ');
  expect(code).toBe(0);
});

test('the page on nights has commands that work, and answers with the lines and fields that they have', async () => {
  for (const amount of ['70', '80']) await owe(await api.merchant(), amount, YESTERDAY);
  const formOf = (line = '') => line.replace(/\d[\d-]*/g, 'N').replace(/ +/g, ' ');
  const asked: string[] = [];
  for (const { code, shown = '' } of blocksOf('night.md')) {
    const [words = []] = commandsOf(code, { URL: api.url, OPERATOR_KEY }, () => undefined);
    if (words[0] === 'npm') {
      const args = words.slice(words.indexOf('--') + 1).map((word) => word.replace(/^[\d-]{10}$/, YESTERDAY));
      const { out } = await here(...args);
      const [first, ...rest] = shown.split('\n').map(formOf);
      expect(formOf(out.split('\n')[0])).toBe(first);
      const ended = (line: string) => line.startsWith('completed: N settled');
      expect(out.split('\n').map(formOf)).toContain(rest.find(ended));
    } else {
      const { method, url, headers } = curlRequest(words);
      const fields = [...shown.matchAll(/"\w+":/g)].map(([field]) => field);
      // A worker tells of its duties a while after it has begun.
      await until(`an answer with ${fields}`, async () => {
        const { status, text } = await new Client('', {}).request(method, url, { headers });
        return status === 200 && fields.every((field) => text.includes(field));
      });
    }
    asked.push(words.slice(0, 3).join(' ').replace(api.url, ''));
  }
  expect(asked).toEqual(['npm run night', 'curl -sS -w', 'curl -sS -w']);
  const [, sql = '', head = ''] = /```sql\n(.*?)\n```\n\n```\n(.*?)\n/s.exec(readFileSync(PAGE, 'utf8')) ?? [];
  const { fields } = await asAdmin(api.on.ownerUrl, (admin) => admin.query(sql));
  expect(fields.map(({ name }) => name)).toEqual(head.split('|').map((name) => name.trim()));
});

test('what is not settled is told with its merchant, and the exit code', { timeout: LIMIT_MS }, async () => {
  const [bad, good] = [await api.merchant(), await api.merchant()];
  await owe(bad, '10', YESTERDAY);
  const before = await here('--date', YESTERDAY, ...merchantArgs(bad));
  expect(before.out).toMatch(new RegExp(`^settlement run [0-9]+: ${YESTERDAY}, 1 merchant\n`));
  await owe(good, '10', BEFORE);
  const { code, out } = await here('--date', BEFORE, ...merchantArgs(bad, good));
  expect(out).toContain('completed: 1 settled, 0 with nothing to settle, 0 not due, 1 failed\n');
  expect(out).toContain(`  merchant ${bad.id}: invalid_transition: `);
  expect(code).toBe(1);
});

test('what the service refuses is told as it says it', async () => {
  const { code, error } = await here('--date', '2199-01-01');
  expect(error).toBe(
    'counterfoil: POST /v1/settlement_runs was answered 422: validation_failed: business_date: has not begun anywhere on earth\n',
  );
  expect(code).toBe(1);
});

test('a run that nobody works on is waited for as long as it is told to', { timeout: LIMIT_MS }, async () => {
  const idle = await TestApi.start();
  await idle.merchant();
  const args = ['--date', YESTERDAY, '--timeout', '1', '--url', idle.url, '--key', OPERATOR_KEY];
  const { code, error } = await night(args, {});
  expect(error).toMatch(
    /^counterfoil: the run is not over after 1 s\. It goes on by itself; .*settlement_runs\/[0-9]+\n$/,
  );
  expect(code).toBe(1);
  await idle.stop();
});

test.each([
  ['nothing runs', ['--date', YESTERDAY], 'nothing runs in this checkout. Run `npm start` first'],
  ['no day is said', [], 'say which day: npm run night -- --date YYYY-MM-DD'],
  ['an option is unknown', ['--dte', YESTERDAY], "Unknown option '--dte'"],
  ['a place has no key', ['--date', YESTERDAY, '--url', 'http://127.0.0.1:1'], '--url and --key go together'],
  ['the time is none', ['--date', YESTERDAY, '--timeout', 'long'], '--timeout is a number of seconds'],
])('where %s, that is said and nothing asked', async (_, args, message) => {
  const { code, error } = await night(args, {});
  expect(error).toContain(message);
  expect(code).toBe(2);
});

test('in a terminal a bar grows in its place', () => {
  const written: string[] = [];
  const progress = new Progress({ isTTY: true, write: (text: string) => written.push(text) } as never);
  const run = (settled: number, finished: boolean) => ({
    status: finished ? 'completed' : 'running',
    merchants: { total: 10, settled, empty: 0, not_due: 0, failed: 0 },
    rate: settled === 0 ? null : 2.5,
    eta: settled === 0 || finished ? null : new Date(Date.now() + 2_500).toISOString(),
    finished_at: finished ? new Date().toISOString() : null,
  });
  progress.show(run(0, false));
  progress.show(run(5, false));
  progress.say('a word between');
  progress.show(run(10, true));
  const bar = (filled: number) => `\r\x1b[2K[${'#'.repeat(filled)}${'.'.repeat(30 - filled)}] `;
  expect(written).toEqual([
    `${bar(0)}0 %, 0 of 10 merchants`,
    `${bar(15)}50 %, 5 of 10 merchants, 2.5/s, 3 s left`,
    '\n',
    'a word between\n',
    `${bar(30)}100 %, 10 of 10 merchants, 2.5/s`,
    '\n',
  ]);
});
