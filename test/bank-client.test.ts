import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer as createTcp, type Server, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Instruction } from '#payouts/bank.js';
import { BankClient } from '#payouts/bank-client.js';
import { SimulatedBank } from './support/simulated-bank.js';
import { until } from './support/until.js';

const TIMEOUT_MS = 10_000;
/** For what must run out. */
const SHORT_MS = 200;

const instruction = (destination: string, more: Partial<Instruction> = {}): Instruction => {
  return { key: '11-22', amount: 1_999n, currency: 'EUR', destination, reference: '22', ...more };
};

describe('with the bank', () => {
  let bank: SimulatedBank;
  let client: BankClient;

  beforeEach(async () => {
    bank = await SimulatedBank.start();
    client = new BankClient({ url: bank.url, secret: bank.secret, timeoutMs: TIMEOUT_MS });
  });
  afterEach(async () => {
    await bank.end('SIGKILL');
  });

  test('instructs, and learns what became of it', async () => {
    expect(await client.ask('11-22')).toEqual({ kind: 'absent' });
    const accepted = await client.instruct(instruction('bank_ok'));
    expect(accepted).toEqual({ kind: 'accepted', reference: expect.stringMatching(/^BK\d+$/), sequence: 1 });
    const paid = await until('it is paid', async () => {
      const is = await client.ask('11-22');
      return is.kind === 'known' && is.status === 'paid' && is;
    });
    const { reference } = accepted as { reference: string };
    expect(paid).toEqual({ kind: 'known', status: 'paid', reference, sequence: 2 });
    expect(await client.instruct(instruction('bank_ok'))).toEqual(accepted);
    expect(await bank.all()).toMatchObject([{ key: '11-22', amount: '1999', currency: 'EUR', reference: '22' }]);
  });

  test('learns why it failed', async () => {
    await client.instruct(instruction('bank_contradicts'));
    await until('it failed', async () => {
      const is = await client.ask('11-22');
      return is.kind === 'known' && is.status === 'failed' && is.failureCode === 'account_blocked';
    });
  });

  test.each([
    ['bank_refused', 'account_closed'],
    ['bank_nobody', 'unknown_destination'],
  ])('%s: is refused with %s', async (destination, code) => {
    expect(await client.instruct(instruction(destination))).toEqual({ kind: 'refused', code });
    expect(await client.ask('11-22')).toEqual({ kind: 'absent' });
  });

  test('an answer that was lost leaves it unknown, and the question tells that it was taken', async () => {
    expect(await client.instruct(instruction('bank_lost'))).toEqual({ kind: 'unknown' });
    expect(await client.ask('11-22')).toMatchObject({ kind: 'known' });
  });

  test.each(['hang', 'drop', 'error'] as const)('its %s leaves both unknown', async (what) => {
    const impatient = new BankClient({ url: bank.url, secret: bank.secret, timeoutMs: SHORT_MS });
    await bank.fail({ what, route: 'instruct' }, { what, route: 'ask' });
    expect(await impatient.instruct(instruction('bank_ok'))).toEqual({ kind: 'unknown' });
    expect(await impatient.ask('11-22')).toEqual({ kind: 'unknown' });
    expect([await bank.befallen(0), await bank.befallen(1)]).toEqual([['11-22'], ['11-22']]);
    expect(await client.instruct(instruction('bank_ok'))).toMatchObject({ kind: 'accepted' });
  });

  test('a bank that is not there leaves both unknown, and is found when it is back', async () => {
    await client.instruct(instruction('bank_ok'));
    await bank.end('SIGKILL');
    expect(await client.instruct(instruction('bank_ok'))).toEqual({ kind: 'unknown' });
    expect(await client.ask('11-22')).toEqual({ kind: 'unknown' });
    await bank.start();
    expect(await client.ask('11-22')).toEqual({ kind: 'absent' });
  });

  test('what we are at fault for is thrown: another secret, another instruction under the key', async () => {
    const stranger = new BankClient({ url: bank.url, secret: 'whsec_other', timeoutMs: TIMEOUT_MS });
    await expect(stranger.instruct(instruction('bank_ok'))).rejects.toThrow('the bank answered 401');
    await expect(stranger.ask('11-22')).rejects.toThrow('the bank answered 401');
    await client.instruct(instruction('bank_ok'));
    await expect(client.instruct(instruction('bank_ok', { amount: 2_000n }))).rejects.toThrow('the bank answered 409');
  });
});

describe('whatever else answers', () => {
  let server: Server;
  let answer: (socket: Socket) => void;
  const said: object[] = [];
  const sockets = new Set<Socket>();
  let connections: number;

  beforeEach(async () => {
    connections = 0;
    said.length = 0;
    server = createTcp((socket) => {
      connections += 1;
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('data', () => answer(socket));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  const client = (timeoutMs = TIMEOUT_MS): BankClient => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return new BankClient({ url, secret: 'whsec_secret', timeoutMs }, {
      warn: (fields: object) => said.push(fields),
    } as never);
  };

  const http = (status: string, body: string | Buffer, headers = ''): Buffer =>
    Buffer.concat([
      Buffer.from(`HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n`),
      Buffer.from(body),
    ]);
  const ACCEPTED = { key: '11-22', bank_reference: 'BK1', status: 'accepted', sequence: 1 };
  const KNOWN = { ...ACCEPTED, status: 'paid', sequence: 2 };

  async function expectUnknown(bank: BankClient): Promise<void> {
    expect(await bank.instruct(instruction('bank_ok'))).toEqual({ kind: 'unknown' });
    expect(await bank.ask('11-22')).toEqual({ kind: 'unknown' });
    expect(said).toHaveLength(2);
    expect(JSON.stringify(said)).not.toContain('whsec_');
  }

  test.each<[string, (socket: Socket) => void]>([
    ['nothing', () => undefined],
    ['half of the headers', (socket) => socket.write('HTTP/1.1 202 Accepted\r\ncontent-')],
    ['half of the body', (socket) => socket.write('HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n{"key":')],
    [
      'a drop every moment',
      (socket) => {
        socket.write('HTTP/1.1 202 Accepted\r\ncontent-length: 100000\r\n\r\n');
        const drops = setInterval(() => socket.write(' '), 20);
        socket.once('close', () => clearInterval(drops));
      },
    ],
  ])('%s: is unknown when the time is over', async (_, how) => {
    answer = how;
    await expectUnknown(client(SHORT_MS));
  });

  test.each<[string, (socket: Socket) => void]>([
    ['a connection that ends', (socket) => socket.end()],
    ['a connection that is reset', (socket) => socket.resetAndDestroy()],
    ['half of the body, and the end', (socket) => socket.end('HTTP/1.1 202 OK\r\ncontent-length: 100\r\n\r\n{"key":')],
    ['no HTTP', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ['no JSON', (socket) => socket.write(http('202 Accepted', '<html>'))],
    ['an empty body', (socket) => socket.write(http('202 Accepted', ''))],
    ['another JSON', (socket) => socket.write(http('200 OK', '[]'))],
    ['203 where 200 or 202 is the word', (socket) => socket.write(http('203 OK', JSON.stringify(ACCEPTED)))],
    ['a refusal without a code', (socket) => socket.write(http('422 No', '{}'))],
    ['a 404 of somebody else', (socket) => socket.write(http('404 Not Found', '<html>not found</html>'))],
    ['a redirect', (socket) => socket.write(http('302 Found', '', 'location: http://127.0.0.1:1/\r\n'))],
    ['502', (socket) => socket.write(http('502 Bad Gateway', JSON.stringify(ACCEPTED)))],
    ['429', (socket) => socket.write(http('429 Slow down', '{"code":"slow_down"}'))],
    ['another key', (socket) => socket.write(http('202 OK', JSON.stringify({ ...ACCEPTED, key: '11-23' })))],
    [
      'another key, where it is known',
      (socket) => socket.write(http('200 OK', JSON.stringify({ ...KNOWN, key: '11-23' }))),
    ],
    [
      'a status that there is not',
      (socket) => socket.write(http('200 OK', JSON.stringify({ ...KNOWN, status: 'maybe' }))),
    ],
    [
      'a sequence that PostgreSQL cannot keep',
      (socket) => socket.write(http('200 OK', JSON.stringify({ ...KNOWN, sequence: 2 ** 31 }))),
    ],
    [
      'a reference that PostgreSQL cannot keep',
      (socket) => socket.write(http('200 OK', JSON.stringify({ ...KNOWN, bank_reference: 'a\0b' }))),
    ],
  ])('%s: is unknown', async (_, how) => {
    answer = how;
    await expectUnknown(client());
  });

  test.each([
    ['as it is', Buffer.alloc(65_536, ' '), ''],
    ['packed', gzipSync(Buffer.alloc(50_000_000, ' ')), 'content-encoding: gzip\r\n'],
  ])('a body without an end, %s: is unknown before the time is over', async (_, bytes, headers) => {
    answer = (socket) => {
      socket.write(`HTTP/1.1 202 OK\r\ncontent-length: 100000000000\r\n${headers}\r\n`);
      const more = (): void => void (socket.writable && socket.write(bytes, more));
      more();
    };
    await expectUnknown(client(3_600_000));
  });

  test('a redirect is not followed: nobody else is given the secret', async () => {
    const { port } = server.address() as AddressInfo;
    answer = (socket) => socket.write(http('307 Go', '', `location: http://127.0.0.1:${port}/elsewhere\r\n`));
    let requests = 0;
    server.on('connection', (socket: Socket) => socket.on('data', () => (requests += 1)));
    await expectUnknown(client());
    expect(requests).toBe(2);
  });

  test('connections are kept for the next question', async () => {
    answer = (socket) => socket.write(http('200 OK', JSON.stringify(KNOWN)));
    const bank = client();
    for (let times = 0; times < 50; times += 1)
      expect(await bank.ask('11-22')).toEqual({ kind: 'known', status: 'paid', reference: 'BK1', sequence: 2 });
    expect(connections).toBeLessThan(3);
  });
});
