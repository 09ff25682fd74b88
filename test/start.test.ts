import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { freePort } from '../scripts/ports.mjs';
import { startPrograms } from '../scripts/programs.mjs';
import type { Child } from '../scripts/services/child.mjs';
import { freshDatabase } from './support/database.js';
import { blocksOf, Pasting } from './support/page.js';
import { SpanReceiver } from './support/span-receiver.js';
import { environment, READY_WITHIN_MS, ROOT, Started } from './support/started.js';
import { until } from './support/until.js';

/** The kinds of break that reports of processors and banks can show: docs/reconciliation.md has them. */
const REPORTED_KINDS = [
  ...readFileSync(join(ROOT, 'docs/reconciliation.md'), 'utf8').matchAll(/^\| `([a-z_]+)` \|[^|]+\|[^|]+\|$/gm),
].map(([, kind = '']) => kind);
interface Report {
  source: string;
  status: string;
  rows_bad: number;
  breaks: { by_kind: Record<string, number> };
}
/** What `npm run <name> -- <args>` runs, to its end. */
async function command(dataDir: string, [name = '', ...args]: string[], more: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [join(ROOT, `scripts/${name}.mjs`), ...args], {
    cwd: ROOT,
    env: { ...environment(dataDir), ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const [code] = await once(child, 'close');
  return { code, output };
}

/** The settings of docs/tracing.md's `npm start`. */
function tracing(): NodeJS.ProcessEnv {
  const words = blocksOf('tracing.md').at(-1)?.code.split(' ') ?? [];
  expect(words.splice(-2)).toEqual(['npm', 'start']);
  return Object.fromEntries(words.map((word) => word.split('=')));
}

/** k6 and schemathesis are no dependencies: programs of their names that say what they were given. */
async function folderOfTools(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'counterfoil-tools-'));
  const text = '#!/bin/sh\necho "$COUNTERFOIL_URL $COUNTERFOIL_OPERATOR_KEY"\necho "$@"\n';
  for (const name of ['k6', 'schemathesis']) await writeFile(join(folder, name), text, { mode: 0o755 });
  return folder;
}

// biome-ignore lint/suspicious/noExplicitAny: answers of three shapes
async function ask({ url, init }: { url: string; init: RequestInit }): Promise<any> {
  return (await fetch(url, init)).json();
}

/** The example of an operation as Swagger UI sends it; undefined while it lacks an id. */
async function documented({ exported }: Started, operation: string) {
  const { URL: origin, KEY, OPERATOR_KEY } = exported;
  const { paths } = await ask({ url: `${origin}/openapi.json`, init: {} });
  const [method = '', path = ''] = operation.split(' ');
  const { parameters, requestBody } = paths[path][method];
  const exampleOf = (name: string) => parameters.find((one: { name: string }) => one.name === name)?.example;
  if (path.includes('{id}') && exampleOf('id') === undefined) return undefined;
  const body = requestBody && JSON.stringify(requestBody.content['application/json'].example);
  const headers = {
    authorization: `Bearer ${path.startsWith('/v1/merchants') ? OPERATOR_KEY : KEY}`,
    ...(body && { 'content-type': 'application/json' }),
    ...(method === 'post' && { 'idempotency-key': exampleOf('Idempotency-Key') }),
  };
  return {
    url: `${origin}${path.replace('{id}', exampleOf('id'))}`,
    init: { method: method.toUpperCase(), headers, body },
  };
}

/** Has an account in the cache, which forgets it after seconds, for as long as `work` takes. */
async function whileAsking<T>(balance: Parameters<typeof ask>[0], work: () => Promise<T>): Promise<T> {
  await ask(balance);
  const asking = setInterval(() => ask(balance), 500);
  try {
    return await work();
  } finally {
    clearInterval(asking);
  }
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
  let collector: SpanReceiver;

  beforeAll(async () => {
    collector = await SpanReceiver.open();
    dataDir = await mkdtemp(join(tmpdir(), 'counterfoil-start-'));
    port = await freePort();
    started = new Started(dataDir, port);
  });
  afterAll(async () => {
    await started.end('SIGTERM');
    await collector.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const bankSettings = async () => JSON.parse(await readFile(join(dataDir, 'demo', 'running.json'), 'utf8')).env;

  /** The bank that runs beside the service. */
  async function bankOf(method: string, path: string, body?: object) {
    const { BANK_URL, BANK_SECRET } = await bankSettings();
    const headers = { authorization: `Bearer ${BANK_SECRET}`, 'content-type': 'application/json' };
    return ask({ url: BANK_URL + path, init: { method, headers, ...(body && { body: JSON.stringify(body) }) } });
  }

  test('prints three requests that work as they are: a posting, its balance, its statement', async () => {
    const [posted, balance, statement] = await inTurn(await started.curls());
    expect(posted).toMatchObject({ status: 'posted', type: 'transfer' });
    expect(balance).toMatchObject({ currency: 'EUR', posted: posted.balances[1].posted });
    expect(statement.data[0]).toMatchObject({ transaction_id: posted.id, amount: '1250', direction: 'credit' });
  });

  test('shows a payment whose provider told of it backwards, and goes on telling of others', async () => {
    const [, , , payment] = await started.curls();
    if (!payment) throw new Error('no payment was printed');
    const { id, status, timeline, transactions } = await ask(payment);
    expect([status, transactions.length]).toEqual(['partially_refunded', 1]);
    for (const { type, received_at } of timeline)
      expect(started.output).toMatch(
        new RegExp(`${type} +.*heard ${received_at.slice(11, 23)} +applied +${transactions[0]}`),
      );
    const all = { ...payment, url: payment.url.replace(`/${id}`, '?limit=100') };
    await until('most of the others are known', async () => (await ask(all)).data.length > 20, READY_WITHIN_MS);
  });

  test('settles yesterday of the first merchant, and pays out what came of it', async () => {
    const [, , , , settlement, lines, payout] = await started.curls();
    if (!settlement || !lines || !payout) throw new Error('no settlement was printed');
    const { business_date, gross, refunds, fees, net, items } = await ask(settlement);
    expect({ gross, refunds, fees, net, items }).toEqual({
      gross: '26680',
      refunds: '3000',
      fees: '595',
      net: '23085',
      items: 11,
    });
    expect(started.output).toContain(`business day ${business_date}`);
    const { data } = await ask(lines);
    for (const { amount, fee } of data)
      expect(started.output).toMatch(new RegExp(` ${amount} +fee +${fee} +${business_date}`));
    expect(await ask(payout)).toMatchObject({ amount: net, status: 'paid', destination: 'bank_ok' });
  });

  test('reconciles that day with its processor and its bank, and shows a break of each kind', async () => {
    const [, , , , , , , reports, found] = await started.curls();
    if (!reports || !found) throw new Error('no reconciliation was printed');
    const ofBank = { ...reports, url: reports.url.replace('generic', 'camt053') };
    const data = (await inTurn([ofBank, reports])).flatMap((list) => list.data);
    expect(data.map(({ source, status, rows_bad }: Report) => [source, status, rows_bad])).toEqual([
      ['camt053', 'completed', 0],
      ['generic', 'completed', 0],
    ]);
    const byKind = Object.assign({}, ...data.map(({ breaks }: Report) => breaks.by_kind));
    expect(byKind).toEqual(Object.fromEntries(REPORTED_KINDS.map((kind) => [kind, 1])));
    for (const kind of REPORTED_KINDS) expect(started.output).toMatch(new RegExp(`^  ${kind} `, 'm'));
    expect(await ask(found)).toMatchObject({ kind: 'amount_mismatch', difference: '9', reference: 'yesterday-3' });
  });

  describe('a page on it, pasted into a shell word for word, prints what it shows', () => {
    const pasting = async () => {
      await started.curls();
      return new Pasting({ ...started.exported, ...(await bankSettings()), COUNTERFOIL_DATA_DIR: dataDir });
    };

    test('docs/reconciliation.md', async () => {
      const shell = await pasting();
      const blocks = blocksOf('reconciliation.md');
      expect(blocks.filter(({ shown }) => shown).length).toBeGreaterThan(10);
      for (const block of blocks) {
        const { printed, shown } = await shell.paste(block);
        expect(printed, block.code).toBe(shown);
      }
    });

    test('docs/payouts.md: a payout that is paid, and the bank’s word on it', async () => {
      const shell = await pasting();
      const blocks = blocksOf('payouts.md', 'Try it');
      expect(blocks.length).toBeGreaterThan(2);
      for (const block of blocks) await shell.paste(block);
      await until('the bank was told', async () => {
        const { data } = await bankOf('GET', '/instructions');
        return data.some(({ destination }: { destination: string }) => destination === 'bank_slow');
      });
    });
  });

  test('serves balances from the cache, once Redis keeps up', async () => {
    const [, balance] = await started.curls();
    if (!balance) throw new Error('no requests were printed');
    // A call to Redis is waited for 50 ms (BALANCE_REDIS_TIMEOUT_MS), and a fence that came later is swept after 8 s: on a
    // busy machine the first answers may be the database's.
    await until('a balance comes from the cache', async () => (await ask(balance)).source === 'cache');
  });

  test('shows the first merchant’s events as they arrive at a receiver of webhooks', async () => {
    await until('an event has arrived', () =>
      /webhook \d+-\d+ transaction\.\w+ .*signature verified/.test(started.output),
    );
  });

  test.each([
    ['get /v1/merchants/{id}', 200],
    ['get /v1/accounts/{id}/balance', 200],
    ['get /v1/webhook_endpoints/{id}/deliveries', 200],
    ['post /v1/accounts/{id}/close', 200],
    ['post /v1/accounts/{id}/reopen', 200],
    ['post /v1/transactions', 201],
    ['post /v1/transactions/batch', 200],
    ['post /v1/transactions/{id}/post', 201],
    ['post /v1/transactions/{id}/void', 201],
    ['post /v1/transactions/{id}/reverse', 201],
  ])('%s: the documentation’s example does what it says, and again', async (operation, status) => {
    await started.curls();
    const { url, init } = await until('the documentation knows the demo', () => documented(started, operation));
    const [first, again] = [await fetch(url, init), await fetch(url, init)];
    expect([first.status, again.status]).toEqual([status, status]);
    expect(again.headers.get('idempotent-replayed')).toBe(init.method === 'POST' ? 'true' : null);
  });

  test('is found by every command that works on it, whatever ports it took', async () => {
    const [, balance] = await started.curls();
    if (!balance) throw new Error('no requests were printed');
    // On a busy machine the cache may not be filled at the moment of the look.
    await whileAsking(balance, () =>
      until(
        'a cached balance is compared',
        async () => {
          const { code, output } = await command(dataDir, ['verify']);
          expect({ code, output }).toMatchObject({ code: 0, output: expect.stringMatching(/ok +I1.*ok +I5: /s) });
          return /I5: .*: [1-9]\d* counted/.test(output);
        },
        READY_WITHIN_MS,
      ),
    );
    const check = await command(dataDir, ['migrate', '--check']);
    expect(check).toEqual({ code: 0, output: 'The schema is current.\n' });
    const rebuilt = await command(dataDir, ['projections', 'rebuild', 'daily_summaries']);
    expect(rebuilt).toMatchObject({ code: 0, output: expect.stringContaining('is served from generation') });
    const listed = await command(dataDir, ['consumers', 'list']);
    expect(listed).toMatchObject({ code: 0, output: expect.stringMatching(/^daily_summaries: of this build; /m) });
    const tools = await folderOfTools();
    const withTools = { PATH: `${tools}:${process.env.PATH}`, K6_REPORTS: tools };
    const load = await command(dataDir, ['k6', 'smoke', '-e', 'RATE=1'], withTools);
    const said = `${started.exported.URL} ${started.exported.OPERATOR_KEY}\nrun `;
    expect(load).toMatchObject({ code: 0, output: expect.stringContaining(said) });
    expect(load.output).toMatch(/ -e RATE=1 k6\/smoke\.ts\n.*\| smoke +\| ok /s);
    const fuzzed = await command(dataDir, ['fuzz', '--max-examples', '5'], withTools);
    const asked = `run ${started.exported.URL}/openapi.json --header Authorization: Bearer `;
    expect(fuzzed).toMatchObject({ code: 0, output: expect.stringContaining(asked + started.exported.OPERATOR_KEY) });
    expect(fuzzed.output).toMatch(/\ncounterfoil: as merchant\n.*Bearer cfm_\w+ .* --max-examples 5\n$/s);
    await rm(tools, { recursive: true });
  });

  test('npm run webhook-sink shows one’s own webhooks as they arrive, and leaves no endpoint behind', async () => {
    const [posting] = await started.curls();
    if (!posting) throw new Error('no requests were printed');
    const { URL: url, KEY } = started.exported;
    const sink = spawn(process.execPath, [join(ROOT, 'scripts/webhook-sink.mjs')], {
      env: { ...environment(dataDir), KEY },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(sink, 'exit');
    let shown = '';
    sink.stdout.on('data', (chunk) => {
      shown += chunk;
    });
    await until('it is registered', () => shown.includes('Ctrl-C ends it'));
    const headers = { ...posting.init.headers, 'idempotency-key': 'for-the-sink' };
    const { id } = await ask({ ...posting, init: { ...posting.init, headers } });
    await until('the posting has arrived', () => shown.includes(`"transaction_id":"${id}"`));
    expect(shown).toMatch(/webhook \d+-\d+ transaction\.posted 1250 EUR \(signature verified\)\n {2}\{/);
    sink.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    expect(shown).toMatch(/The endpoint is deleted again\.\n$/);
    const endpoints = await ask({ url: `${url}/v1/webhook_endpoints`, init: { headers } });
    expect(endpoints.data.map((endpoint: { url: string }) => new URL(endpoint.url).pathname)).toEqual([
      '/counterfoil-demo',
    ]);
  });

  test('mixes nothing of its own into a place that the environment names', async () => {
    await started.curls();
    const elsewhere = { COUNTERFOIL_URL: 'http://127.0.0.1:9' };
    const load = await command(dataDir, ['k6', 'smoke'], elsewhere);
    expect(load).toEqual({ code: 1, output: 'counterfoil: set COUNTERFOIL_OPERATOR_KEY beside COUNTERFOIL_URL.\n' });
  });

  test('has a bank beside it, which pays', async () => {
    await started.curls();
    const order = { amount: '1', currency: 'EUR', destination: 'bank_silent', reference: 'r' };
    expect(await bankOf('PUT', '/instructions/before-the-kill', order)).toMatchObject({ status: 'accepted' });
    await until('it is paid', async () => (await bankOf('GET', '/instructions/before-the-kill')).status === 'paid');
  });

  test('killed without warning and started again, it has the same data and the same keys', async () => {
    const [posting, balance, , payment, settlement, , payout, reports] = await started.curls();
    if (!posting || !balance || !payment || !settlement || !payout || !reports)
      throw new Error('no requests were printed');
    const before = await ask(balance);
    const paymentBefore = await ask(payment);
    const nightBefore = await inTurn([settlement, payout, reports]);
    const list = (after: string) => ({
      url: `${new URL(posting.url).origin}/v1/transactions?limit=2${after}`,
      init: { headers: posting.init.headers ?? {} },
    });
    const { next_cursor: cursor } = await ask(list(''));
    const rest = await ask(list(`&cursor=${cursor}`));
    const { BANK_URL: bankUrl } = await bankSettings();
    await started.end('SIGKILL');
    for (const url of [balance.url, bankUrl])
      await until('API, worker and bank have ended with their supervisor', () =>
        fetch(url).then(
          () => false,
          () => true,
        ),
      );
    started = new Started(dataDir, port, { ...tracing(), OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    await started.curls();
    const again = await fetch(posting.url, posting.init);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const after = await ask(balance);
    // Its Redis came back empty, so that this one is the database's.
    expect({ ...after, as_of: '', source: '' }).toEqual({ ...before, as_of: '', source: '' });
    expect(await ask(list(`&cursor=${cursor}`)), 'lists go on').toEqual(rest);
    // Its provider has told of it once more.
    expect(await ask(payment)).toEqual(paymentBefore);
    // Yesterday is settled, paid out and reconciled as it was, and shown again.
    expect(await inTurn([settlement, payout, reports])).toEqual(nightBefore);
    const [, , , , shownSettlement, , shownPayout] = await started.curls();
    expect([shownSettlement?.url, shownPayout?.url]).toEqual([settlement.url, payout.url]);
    // Its bank knows what it has paid.
    expect(await bankOf('GET', '/instructions/before-the-kill')).toMatchObject({ status: 'paid', sequence: 2 });
    // Its webhooks still go to one receiver.
    const { origin } = new URL(posting.url);
    const endpoints = await ask({
      url: `${origin}/v1/webhook_endpoints`,
      init: { headers: posting.init.headers ?? {} },
    });
    expect(endpoints.data.map(({ status }: { status: string }) => status)).toEqual(['enabled']);
  });

  test('started as docs/tracing.md says, it has every request shown', async () => {
    const [posting] = await started.curls();
    if (!posting) throw new Error('no requests were printed');
    const headers = { ...posting.init.headers, 'idempotency-key': 'to-be-traced' };
    const answer = await fetch(posting.url, { ...posting.init, headers });
    const [, trace = '', , flags] = answer.headers.get('traceresponse')?.split('-') ?? [];
    expect([answer.status, flags]).toEqual([201, '01']);
    const shown = () => new Set(collector.traceOf(trace).map(({ service, name }) => `${service}: ${name}`));
    const whole = ['api: POST /v1/transactions', 'api: commit group', 'worker: POST webhook'];
    await until('its trace is there, on to its webhook', () => whole.every((one) => shown().has(`counterfoil-${one}`)));
  });

  test('SIGTERM ends it in good order', async () => {
    expect(await started.end('SIGTERM')).toBe(0);
  });

  test.each([
    [['verify']],
    [['migrate', '--check']],
    [['projections', 'rebuild', 'daily_summaries']],
    [['k6', 'smoke']],
  ])('ended, %j says how to start it', async (words) => {
    const { code, output } = await command(dataDir, words);
    expect(code).toBe(2);
    expect(output).toMatch(
      /^counterfoil: nothing runs in this checkout\. Run `npm start`.* first,.* or set \w+_URL\.\n$/,
    );
  });

  test.each([
    ['another listens there', () => port, /^counterfoil: PORT=\d+ cannot be had: another program listens there/],
    ['it is no port', () => 'http', /^counterfoil: PORT must be a whole number from 1 to 65535, not "http"\.\n$/],
  ])('a PORT that cannot be had is said in words, before anything starts: %s', async (_, wanted, says) => {
    const taker = createServer().listen(port, '127.0.0.1');
    await once(taker, 'listening');
    const { code, output } = await command(dataDir, ['start'], { PORT: String(wanted()) });
    taker.close();
    expect(code).toBe(1);
    expect(output).toMatch(says);
  });

  test('npm run reset deletes what it kept', async () => {
    expect(await command(dataDir, ['reset'])).toEqual({ code: 0, output: `Deleted the data in ${dataDir}.\n` });
    expect(await readdir(dataDir).catch(() => [])).toEqual([]);
  });
});

// `npm start` above has compiled them.
test('a port that another program took meanwhile costs API and worker another start, on another port', async () => {
  const taker = createServer().listen(0, '127.0.0.1');
  await once(taker, 'listening');
  const ports = [(taker.address() as AddressInfo).port, await freePort()];
  const on = await freshDatabase();
  const started: Child[] = [];
  const keep = <T>(child: T) => {
    started.push(child as unknown as Child);
    return child;
  };
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    REDIS_QUEUE_URL: inject('redisQueueUrl'),
    LOG_LEVEL: 'silent',
  };
  try {
    const { url } = await startPrograms({ keep, env, choosePort: async () => ports.shift() as number });
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    expect(started.map(({ how }) => how === undefined)).toEqual([false, false, true, true]);
  } finally {
    await Promise.all(started.map((child) => child.stop()));
    taker.close();
    await on.drop();
  }
}, 120_000);
