import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, inject, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const LIMIT_MS = 180_000;

const ROWS = [
  /^1 +POST \/transactions, 64 callers ÷ reference/m,
  /^1 +POST \/transactions, 256 callers ÷ reference/m,
  /^2 +one hot account, 64 callers ÷ hot reference/m,
  /^2 +one hot account, 256 callers ÷ hot reference/m,
  /^3 +ours hot ÷ ours uniform, 64 callers +\d/m,
  /^3 +ours hot ÷ ours uniform, 256 callers +\d/m,
  /^4 +batches of 100, transactions\/s ÷ reference/m,
  /^5 +cached balance read ÷ bare node:http, 64 callers +\d/m,
  /^ +400 reads of one cold key in 2 processes: database reads +\d/m,
  /^8 +last 100: pages of PK \(id\) \+ index ÷ ours, vacuumed +\d/m,
  /^8 +last 100: the same, newest rows not yet vacuumed +\d/m,
  /^18 +facts in batches of 100 ÷ transactions in batches of 100 +\d/m,
  /^18 +POST \/payments ÷ POST \/transactions, 64 callers +\d/m,
  /^18 +p99 of single facts ÷ p99 of postings, each at half load +\d/m,
  /^ +ms from its cause’s request until a parked fact is applied, p50 +\d/m,
  /^ +lone caller: p50 through the writer ÷ statements by hand +\d/m,
  /^ +lone caller: p50 over HTTP ÷ statements by hand +\d/m,
  /^ +cost of a posting one hour late ÷ on time, 64 callers +\d/m,
  ...[1, 16, 64, 256].map(
    (callers) => new RegExp(`^uniform ${callers} +[\\d.]+ \\([\\d.–]+\\) +[\\d.]+ / [\\d.]+ / [\\d.]+ `, 'm'),
  ),
  // Redis calls and commands in scripts of a posting and of a read.
  /^uniform 64 .* [\d.]+ +[\d.]+ +[\d.]+$/m,
  /^read cached 64 .* [\d.]+ +[\d.]+ +[\d.]+$/m,
];

const NOISES = [
  'postings',
  'hot account',
  'batches of 1000',
  'full pages',
  'point in time',
  'exports',
  'event pages',
  'event streams',
  'slow webhooks',
  'forged keys',
];

/** On a busy machine the trials are slow; they are to be refused nothing even so. */
const PATIENCE = {
  REQUEST_DEADLINE_MS: '120000',
  DATABASE_CONNECT_TIMEOUT_MS: '60000',
  WRITER_GROUP_TIMEOUT_MS: '60000',
  BALANCE_SWEEP_AFTER_MS: '90000',
  // Two merchants take what the benchmark has hundreds for.
  WRITER_LANE_CAPACITY: '20000',
  WRITER_MERCHANT_CAPACITY: '20000',
};

function run(args: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(ROOT, 'scripts/run.mjs'), ...args], {
      env: {
        ...process.env,
        ...PATIENCE,
        DATABASE_URL: inject('ownerUrl'),
        REDIS_URL: inject('redisUrl'),
        REDIS_QUEUE_URL: inject('redisQueueUrl'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: LIMIT_MS,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk;
      });
    }
    child.once('error', reject);
    child.once('exit', (code) => resolve({ code, output }));
  });
}

it(
  'npm run bench -- --smoke prints every row, and no request is refused',
  async () => {
    const { code, output } = await run(['bench', '--smoke']);
    expect(code, output).toBe(0);
    for (const row of ROWS) expect(output).toMatch(row);
    expect(output).not.toMatch(/were refused|NaN/);
  },
  LIMIT_MS,
);

it(
  'npm run bench:reconciliation -- --smoke finds what its report tells, and prints a row',
  async () => {
    const { code, output } = await run(['bench-reconciliation', '--smoke']);
    expect(code, output).toBe(0);
    expect(output).toMatch(/^2000( +[\d.]+){7}$/m);
  },
  LIMIT_MS,
);

it(
  'npm run bench:noisy-neighbour -- --smoke hears every kind of noise, here and elsewhere, and the neighbour is refused nothing',
  async () => {
    const { code, output } = await run(['bench-noisy-neighbour', '--smoke', '--units', '4000']);
    expect(code, output).toBe(0);
    for (const kind of NOISES) {
      expect(output).toMatch(new RegExp(`^${kind} +postings( +[\\d.]+ / [\\d.]+){5} .*\\d`, 'm'));
      expect(output).toMatch(new RegExp(`^${kind}( +\\d+){8}$`, 'm'));
    }
    for (const what of ['reads', 'deliveries'])
      expect(output.match(new RegExp(`^ +${what} +\\d`, 'gm'))).toHaveLength(NOISES.length);
  },
  LIMIT_MS,
);

it(
  'npm run bench:prices -- --smoke holds what each route is charged against the CPU it takes, and they go together',
  async () => {
    const { code, output } = await run(['bench-prices', '--smoke']);
    expect(code, output).toBe(0);
    for (const price of ['posting', 'balance', 'get', 'list', 'events', 'change', 'payment'])
      expect(output).toMatch(new RegExp(`^${price} +\\w+ .*( +[\\d.]+){4}$`, 'm'));
    expect(Number(/^correlation .*: (0\.\d+);/m.exec(output)?.[1])).toBeGreaterThan(0.8);
  },
  LIMIT_MS,
);
