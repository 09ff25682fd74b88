import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../scripts/ports.mjs';
import { until } from './support/until.js';

const ROOT = join(import.meta.dirname, '..');
/** It compiles everything, starts two servers and three processes, and has two cores with others beside it. */
const READY_WITHIN_MS = 120_000;

/** What `npm start` runs, without its launcher (a kill is to hit the supervisor), in a data folder of the test's own. */
class Started {
  output = '';
  readonly process: ChildProcess;

  constructor(dataDir: string, port: number) {
    const { DATABASE_URL: _, REDIS_URL: __, REDIS_QUEUE_URL: ___, ...env } = process.env;
    this.process = spawn(process.execPath, [join(ROOT, 'scripts/start.mjs')], {
      cwd: ROOT,
      env: { ...env, COUNTERFOIL_DATA_DIR: dataDir, PORT: String(port), COUNTERFOIL_OPERATOR_KEY: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on('data', (chunk) => {
        this.output += chunk;
      });
    }
  }

  /** The `curl` lines that it printed, as requests. */
  async curls(): Promise<{ url: string; init: RequestInit }[]> {
    await until(
      'npm start is ready',
      () => {
        if (this.process.exitCode !== null) throw new Error(`npm start ended:\n${this.output}`);
        return this.output.includes('Ctrl-C stops everything');
      },
      READY_WITHIN_MS,
    );
    const key = /export KEY=(\S+)/.exec(this.output)?.[1] ?? '';
    return [...this.output.matchAll(/^ {2}curl -sS (.*)$/gm)].map(([, line = '']) => {
      const headers = [...line.matchAll(/-H "([^:]+): ([^"]+)"/g)].map(([, name = '', value = '']) => [
        name,
        value.replace('$KEY', key),
      ]);
      const body = / -d '(.*)'$/.exec(line)?.[1];
      const url = /https?:[^\s"]+/.exec(line)?.[0] ?? '';
      return { url, init: { headers: Object.fromEntries(headers), ...(body && { method: 'POST', body }) } };
    });
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.process.exitCode !== null) return this.process.exitCode;
    const ended = once(this.process, 'exit');
    this.process.kill(signal);
    await ended;
    return this.process.exitCode;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: answers of three shapes
async function ask({ url, init }: { url: string; init: RequestInit }): Promise<any> {
  return (await fetch(url, init)).json();
}

async function inTurn(requests: Parameters<typeof ask>[0][]) {
  const answers = [];
  for (const request of requests) answers.push(await ask(request));
  return answers;
}

describe('npm start', { timeout: 2 * READY_WITHIN_MS }, () => {
  let dataDir: string;
  let port: number;
  let started: Started;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'counterfoil-start-'));
    port = await freePort();
    started = new Started(dataDir, port);
  });
  afterAll(async () => {
    await started.end('SIGTERM');
    await rm(dataDir, { recursive: true, force: true });
  });

  test('prints three requests that work as they are: a posting, its balance, its statement', async () => {
    const [posted, balance, statement] = await inTurn(await started.curls());
    expect(posted).toMatchObject({ status: 'posted', type: 'transfer' });
    expect(balance).toMatchObject({ currency: 'EUR', source: 'cache' });
    expect(statement.data[0]).toMatchObject({ transaction_id: posted.id, amount: '1250', direction: 'credit' });
  });

  test('shows the first merchant’s events as they arrive at a receiver of webhooks', async () => {
    await until('an event has arrived', () =>
      /webhook \d+-\d+ transaction\.\w+ .*signature verified/.test(started.output),
    );
  });

  test('killed without warning and started again, it has the same data and the same keys', async () => {
    const [posting, balance] = await started.curls();
    if (!posting || !balance) throw new Error('no requests were printed');
    const before = await ask(balance);
    await started.end('SIGKILL');
    await until('API and worker have ended with their supervisor', () =>
      fetch(balance.url).then(
        () => false,
        () => true,
      ),
    );
    started = new Started(dataDir, port);
    await started.curls();
    const again = await fetch(posting.url, posting.init);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const after = await ask(balance);
    // Its Redis came back empty, so that this one is the database's.
    expect({ ...after, as_of: '', source: '' }).toEqual({ ...before, as_of: '', source: '' });
    // Its webhooks still go to one receiver.
    const { origin } = new URL(posting.url);
    const endpoints = await ask({
      url: `${origin}/v1/webhook_endpoints`,
      init: { headers: posting.init.headers ?? {} },
    });
    expect(endpoints.data.map(({ status }: { status: string }) => status)).toEqual(['enabled']);
  });

  test('SIGTERM ends it in good order', async () => {
    expect(await started.end('SIGTERM')).toBe(0);
  });
});
