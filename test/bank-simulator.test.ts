import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DESTINATIONS } from '../apps/bank-simulator/src/destinations.js';
import { Client, type Json } from './support/api.js';
import { SimulatedBank } from './support/simulated-bank.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { all, readXml, textAt } from './support/xml.js';

const DELAYS = { BANK_DELAY_MS: '200', BANK_RETURN_DELAY_MS: '300' };

let folder: string;
let bank: SimulatedBank;
let sink: WebhookSink;
let orders = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'counterfoil-bank-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

beforeEach(async () => {
  sink = await WebhookSink.open();
});
afterEach(async () => {
  await bank.end('SIGKILL');
  await sink.close();
});

async function start(env: Record<string, string> = {}): Promise<void> {
  bank = await SimulatedBank.start({ ...DELAYS, BANK_CALLBACK: sink.url, ...env });
}

function newKey(): string {
  orders += 1;
  return `key-${orders}`;
}

/** Instructs it under a key of its own unless one is given. */
async function instruct(destination: string, more: object = {}, key = newKey()): Promise<Json> {
  const body = { amount: '100', currency: 'EUR', destination, reference: key, ...more };
  const { status: code, body: answer } = await bank.client.request('PUT', `/instructions/${key}`, { body });
  return { key, code, answer };
}

const ask = async (key: string): Promise<Json> => (await bank.client.get(`/instructions/${key}`)).body;

/** Once it stands there. */
const untilIs = (key: string, wanted: string): Promise<Json> =>
  until(`${key} is ${wanted}`, async () => {
    const is = await ask(key);
    return is.status === wanted && is;
  });

const statuses = ({ history }: Json): string[] => history.map(({ status: one }: Json) => one);

/** What it called back about a key. */
const told = (key: string): string[] =>
  sink.received.filter(({ body }) => body.key === key).map(({ body }) => body.status);

describe('the bank simulator', () => {
  test.each([
    ['bank_ok', ['accepted', 'paid'], ['paid']],
    ['bank_returned', ['accepted', 'paid', 'returned'], ['paid', 'returned']],
    ['bank_slow', ['accepted', 'paid'], ['paid']],
    ['bank_silent', ['accepted', 'paid'], []],
    ['bank_twice', ['accepted', 'paid'], ['paid', 'paid']],
    ['bank_contradicts', ['accepted', 'failed', 'paid'], ['failed', 'paid']],
  ])('%s: is %j, and tells %j', async (destination, happened, tells) => {
    await start();
    const { key, code, answer } = await instruct(destination);
    expect([code, answer]).toEqual([202, { key, bank_reference: expect.any(String), status: 'accepted', sequence: 1 }]);
    const is = await untilIs(key, happened.at(-1) as string);
    expect(statuses(is)).toEqual(happened);
    expect(is.history.map(({ sequence }: Json) => sequence)).toEqual(happened.map((_, index) => index + 1));
    // What is told of another one afterwards shows that nothing more comes of this one.
    const last = await instruct('bank_ok');
    await until('all is told', () => told(last.key).length === 1 && told(key).length >= tells.length);
    expect(told(key)).toEqual(tells);
  });

  test('bank_slow and bank_returned take the time that they are given', async () => {
    await start();
    const [slow, returned] = [await instruct('bank_slow'), await instruct('bank_returned')];
    const [isPaid, isReturned] = [await untilIs(slow.key, 'paid'), await untilIs(returned.key, 'returned')];
    const between = ({ history }: Json): number => Date.parse(history.at(-1).at) - Date.parse(history.at(-2).at);
    expect([between(isPaid) >= 200, between(isReturned) >= 300]).toEqual([true, true]);
    expect(isReturned.failure_code).toBe('account_closed');
  });

  test('bank_lost: the connection drops before the answer; it was taken, and the same again is answered', async () => {
    await start();
    await expect(instruct('bank_lost', {}, 'lost')).rejects.toThrow();
    expect(await untilIs('lost', 'paid')).toMatchObject({ destination: 'bank_lost' });
    expect((await instruct('bank_lost', {}, 'lost')).code).toBe(202);
    expect(statuses(await ask('lost'))).toEqual(['accepted', 'paid']);
  });

  test.each([
    ['bank_refused', 'account_closed'],
    ['bank_nobody', 'unknown_destination'],
  ])('%s is refused at once, each time, and nothing is known of it', async (destination, code) => {
    await start();
    for (const times of [1, 2]) {
      const refused = await instruct(destination, {}, 'refused');
      expect({ times, ...refused }).toEqual({ times, key: 'refused', code: 422, answer: { code } });
    }
    expect((await bank.client.get('/instructions/refused')).status).toBe(404);
    expect(await bank.all()).toMatchObject([{ key: 'refused', status: 'refused', failure_code: code }]);
  });

  test('takes a key once, however often and at once it is sent; another instruction under it is refused', async () => {
    await start();
    const answers = await Promise.all(Array.from({ length: 20 }, () => instruct('bank_ok', {}, 'once')));
    expect(new Set(answers.map(({ code, answer }) => `${code} ${answer.bank_reference}`)).size).toBe(1);
    await untilIs('once', 'paid');
    for (const other of [{ amount: '101' }, { currency: 'USD' }, { destination: 'bank_slow' }, { reference: 'r' }])
      expect((await instruct('bank_ok', other, 'once')).code).toBe(409);
    expect(await bank.all()).toMatchObject([
      { key: 'once', amount: '100', currency: 'EUR', destination: 'bank_ok', reference: 'once' },
    ]);
  });

  test('signs what it tells, and tells it again until it is answered 2xx', async () => {
    let tries = 0;
    sink.respond = (response) => {
      tries += 1;
      status(tries < 3 ? 503 : 204)(response);
    };
    await start();
    const { key, answer } = await instruct('bank_ok');
    await until('it was heard', () => tries === 3);
    for (const { text, headers } of sink.received)
      expect(new Webhook(bank.secret).verify(text, headers as Record<string, string>)).toEqual({
        key,
        status: 'paid',
        sequence: 2,
      });
    expect(new Set(sink.ids)).toEqual(new Set([`${answer.bank_reference}-2`]));
  });

  test.each([
    ['no JSON', '{'],
    ['no amount', '{"currency":"EUR","destination":"bank_ok","reference":"r"}'],
    ['an amount of nothing', '{"amount":"0","currency":"EUR","destination":"bank_ok","reference":"r"}'],
    ['a fraction', '{"amount":"1.5","currency":"EUR","destination":"bank_ok","reference":"r"}'],
    ['a currency that there is not', '{"amount":"1","currency":"ABC","destination":"bank_ok","reference":"r"}'],
    ['more than it knows', '{"amount":"1","currency":"EUR","destination":"bank_ok","reference":"r","more":1}'],
  ])('refuses %s, and has not heard of it', async (_, raw) => {
    await start();
    const refused = await bank.client.request('PUT', '/instructions/bad', { raw });
    expect([refused.status, refused.body.code]).toEqual([422, 'invalid_request']);
    expect(await bank.all()).toEqual([]);
  });

  test('answers nobody who does not know its secret', async () => {
    await start();
    const stranger = new Client(bank.url, { authorization: 'Bearer whsec_other' });
    for (const path of ['/instructions', '/instructions/a', '/statements/2026-11-27', '/faults'])
      expect((await stranger.get(path)).status).toBe(401);
  });
});

describe('killed and started again on what it kept', () => {
  const kept = (name: string): string => join(folder, name);

  test('it pays what it had accepted, returns what it had paid, and does neither twice', async () => {
    const file = kept('timers');
    await start({ BANK_STATE: file, BANK_DELAY_MS: '3600000', BANK_RETURN_DELAY_MS: '3600000' });
    const keys = new Map<string, string>();
    for (const destination of DESTINATIONS.keys()) {
      if (destination === 'bank_lost') continue;
      keys.set(destination, (await instruct(destination)).key);
    }
    for (const destination of ['bank_ok', 'bank_returned', 'bank_silent', 'bank_twice'])
      await untilIs(keys.get(destination) as string, 'paid');
    await untilIs(keys.get('bank_contradicts') as string, 'failed');
    await until('all is told', () => sink.received.length === 5);
    const before = await bank.all();
    await bank.end('SIGKILL');
    const againMs = Date.now();
    await bank.start({ BANK_DELAY_MS: '1', BANK_RETURN_DELAY_MS: '1' });
    const [slow, returned, contradicted] = ['bank_slow', 'bank_returned', 'bank_contradicts'].map(
      (destination) => keys.get(destination) as string,
    ) as [string, string, string];
    await Promise.all([untilIs(slow, 'paid'), untilIs(returned, 'returned'), untilIs(contradicted, 'paid')]);
    const after = await bank.all();
    for (const [index, { history, bank_reference }] of before.entries()) {
      expect(after[index].bank_reference).toBe(bank_reference);
      expect(after[index].history.slice(0, history.length)).toEqual(history);
      expect(statuses(after[index]).filter((one) => one === 'paid').length).toBeLessThanOrEqual(1);
    }
    // What it pays now is not of the time when it was to pay it: the statement of that day is written.
    expect(Date.parse((await ask(slow)).history[1].at)).toBeGreaterThanOrEqual(againMs);
    // What was heard before is not told again.
    await until('the rest is told', () => sink.received.length === 8);
    expect(told(keys.get('bank_ok') as string)).toEqual(['paid']);
  });

  test('it tells what nobody had heard', async () => {
    const file = kept('untold');
    sink.respond = status(503);
    await start({ BANK_STATE: file });
    const { key } = await instruct('bank_ok');
    await until('it was told', () => told(key).length > 0);
    await bank.end('SIGKILL');
    sink.respond = status(204);
    const before = told(key).length;
    await bank.start();
    await until('it is told again', () => told(key).length > before);
  });

  test('a line that was being written counts as not written, and a key that it took is taken', async () => {
    const file = kept('torn');
    await start({ BANK_STATE: file });
    const reference = { reference: 'Überweisung' };
    const { key } = await instruct('bank_ok', reference);
    await untilIs(key, 'paid');
    await until('it was told', () => readFileSync(file, 'utf8').includes('"told"'));
    await bank.end('SIGKILL');
    const whole = readFileSync(file, 'utf8');
    appendFileSync(file, '{"is":"taken","order":{"key":"tor');
    await bank.start();
    expect(readFileSync(file, 'utf8')).toBe(whole);
    expect((await instruct('bank_ok', reference, key)).code).toBe(202);
    expect(await bank.all()).toHaveLength(1);
  });

  test('killed at any moment while it is told much at once, it has taken each once and knows all that it answered', async () => {
    const file = kept('busy');
    await start({ BANK_STATE: file });
    const accepted = new Set<string>();
    const keys = Array.from({ length: 300 }, (_, index) => `busy-${index}`);
    const sending = Promise.allSettled(keys.map((key) => instruct('bank_ok', {}, key).then(() => accepted.add(key))));
    await until('some were answered', () => accepted.size > 10);
    await bank.end('SIGKILL');
    await sending;
    expect(accepted.size).toBeLessThan(keys.length);
    await bank.start();
    const known = new Set((await bank.all()).map(({ key }) => key));
    expect([...accepted].filter((key) => !known.has(key))).toEqual([]);
    await Promise.all(keys.map((key) => instruct('bank_ok', {}, key)));
    for (const key of keys) expect(statuses(await untilIs(key, 'paid'))).toEqual(['accepted', 'paid']);
    expect(await bank.all()).toHaveLength(keys.length);
  });
});

describe('its statement', () => {
  test('is XML of what was paid and returned today, and is right after a restart', async () => {
    const file = join(folder, 'statement');
    await start({ BANK_STATE: file });
    const [ok, returned] = [
      await instruct('bank_ok', { amount: '1999' }),
      await instruct('bank_returned', { amount: '115' }),
    ];
    await instruct('bank_refused');
    await Promise.all([untilIs(ok.key, 'paid'), untilIs(returned.key, 'returned')]);
    const today = (await ask(ok.key)).history[1].at.slice(0, 10);
    await bank.end('SIGKILL');
    await bank.start();
    const answer = await bank.client.get(`/statements/${today}?account=COUNTERFOIL-EUR`);
    expect(answer.headers.get('content-type')).toBe('application/xml; charset=utf-8');
    const [statement, ...more] = all(readXml(answer.text), 'BkToCstmrStmt/Stmt');
    if (!statement) throw new Error('no statement');
    expect(more).toEqual([]);
    expect(all(statement, 'Bal').map((one) => `${textAt(one, 'CdtDbtInd')} ${textAt(one, 'Amt')}`)).toEqual([
      'CRDT 0.00',
      'DBIT 19.99',
    ]);
    const entries = all(statement, 'Ntry').map(
      (one) => `${textAt(one, 'CdtDbtInd')} ${textAt(one, 'Amt')} ${textAt(one, 'NtryDtls/TxDtls/Refs/EndToEndId')}`,
    );
    expect(entries.sort()).toEqual([`CRDT 1.15 ${returned.key}`, `DBIT 1.15 ${returned.key}`, `DBIT 19.99 ${ok.key}`]);
    expect((await bank.client.get('/statements/2026-02-30')).status).toBe(422);
    expect((await bank.client.get(`/statements/${today}?faults=none`)).status).toBe(422);
    const wrong = await bank.client.get(`/statements/${today}?faults=missing_row,batch`);
    expect(JSON.parse(wrong.headers.get('planted-faults') ?? '')).toEqual([
      { fault: 'missing_row', reference: expect.stringMatching(`^(${ok.key}|${returned.key})$`) },
    ]);
    expect((await bank.client.get(`/statements/${today}?account=COUNTERFOIL-USD`)).status).toBe(404);
  });
});

describe('credits', () => {
  const credit = { reference: 'batch 417', amount: '1324', currency: 'EUR', at: '2026-11-26T06:00:00Z' };
  const entries = async (): Promise<string[]> => {
    const { text } = await bank.client.get('/statements/2026-11-26');
    return all(readXml(text), 'BkToCstmrStmt/Stmt/Ntry').map(
      (one) => `${textAt(one, 'CdtDbtInd')} ${textAt(one, 'Amt')} ${textAt(one, 'NtryDtls/TxDtls/RmtInf/Ustrd')}`,
    );
  };

  test('come once for each reference, and stay through a restart', async () => {
    await start({ BANK_STATE: join(folder, 'credits') });
    for (const times of [1, 2]) {
      const { status: code, body } = await bank.client.post('/credits', { body: credit });
      expect({ times, code, body }).toEqual({ times, code: 201, body: credit });
    }
    expect((await bank.client.post('/credits', { body: { ...credit, amount: '1325' } })).status).toBe(409);
    await bank.end('SIGKILL');
    await bank.start();
    expect(await entries()).toEqual(['CRDT 13.24 batch 417']);
    expect((await bank.client.post('/credits', { body: credit })).status).toBe(201);
    expect(await entries()).toHaveLength(1);
  });

  test.each([{ amount: '1.5' }, { currency: 'ABC' }, { at: 'yesterday' }, { reference: '' }, { more: 1 }])(
    'are refused with %j',
    async (change) => {
      await start();
      expect((await bank.client.post('/credits', { body: { ...credit, ...change } })).status).toBe(422);
      expect((await bank.client.get('/statements/2026-11-26')).status).toBe(404);
    },
  );
});

describe('on demand', () => {
  test.each([
    ['before', 404],
    ['after', 200],
  ] as const)('it drops a connection %s it has done what it was told, once', async (when, known) => {
    await start();
    await bank.fail({ what: 'drop', route: 'instruct', when });
    await expect(instruct('bank_ok', {}, 'dropped')).rejects.toThrow();
    expect((await bank.client.get('/instructions/dropped')).status).toBe(known);
    expect(await bank.befallen()).toEqual(['dropped']);
    expect((await instruct('bank_ok', {}, 'dropped')).code).toBe(202);
  });

  test('it answers 500, as often as it is told to', async () => {
    await start();
    await bank.fail({ what: 'error', route: 'ask', times: 2 });
    const codes = [];
    for (const _ of [1, 2, 3]) codes.push((await bank.client.get('/instructions/none')).status);
    expect(codes).toEqual([500, 500, 404]);
  });

  test('it spares the first requests about each instruction', async () => {
    await start();
    await bank.fail({ what: 'error', route: 'ask', spares: 1, times: 3 });
    const codes = [];
    for (const key of ['a', 'b', 'a', 'a', 'b', 'b'])
      codes.push((await bank.client.get(`/instructions/${key}`)).status);
    expect(codes).toEqual([404, 404, 500, 500, 500, 404]);
    expect(await bank.befallen()).toEqual(['a', 'a', 'b']);
  });

  test('it hangs, and ends all the same when it is told to', async () => {
    await start({ BANK_STATE: join(folder, 'hanging') });
    await bank.fail({ what: 'hang', route: 'instruct' });
    const hanging = instruct('bank_ok').catch(() => 'no answer');
    await until('it hangs', async () => (await bank.befallen()).length === 1);
    expect(await bank.end('SIGTERM')).toBe('code 0');
    expect(await hanging).toBe('no answer');
  });

  test('it is away for a while, and comes back where it was', async () => {
    await start();
    await bank.away(200);
    const { key } = await until('it is back', async () => instruct('bank_ok').catch(() => undefined));
    await untilIs(key, 'paid');
  });
});
