import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { ConsumerQueue } from '#outbox/consumers/consumer-queue.js';
import { queueName } from '#outbox/consumers/queue-name.js';
import { Queues } from '#platform/queues.js';
import { consumersOf, ROOMS, reactorsOf } from '../apps/rooms.js';
import { type Answer, OPERATOR_KEY, TestApi } from './support/api.js';

let api: TestApi;
let queue: ConsumerQueue;
let queues: Queues;

beforeAll(async () => {
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
  queues = new Queues(inject('redisQueueUrl'), api.on.runtimeUrl);
  queue = new ConsumerQueue('daily_summaries', queues, { batchSize: 10, from: 'beginning' });
  const [after, through] = [
    { xid: 0n, seq: 0n },
    { xid: 7n, seq: 70n },
  ];
  await queue.dispatch([{ partition: 5, after, through, count: 1, isAgain: false, traces: [] }]);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await queue.queue.obliterate({ force: true });
  await queues.close();
  await api.stop();
});

const basic = (name: string, password: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
});
const ask = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  api.client(headers).request(method, path);

const PATHS = [
  '/board',
  '/board/',
  '/board/api/queues',
  '/board/queue/events-daily_summaries',
  '/board/static/images/logo.svg',
];

describe('the board', () => {
  test.each(PATHS)('%s is refused without an operator’s key', async (path) => {
    const merchant = await api.merchant();
    const refused = async (headers?: Record<string, string>) => {
      const { status, body, headers: told } = await ask(path, headers);
      return [status, body.code, told.get('www-authenticate')?.split(' ')[0]];
    };
    expect(await refused()).toEqual([401, 'unauthorized', 'Basic']);
    expect(await refused(basic('operator', ''))).toEqual([401, 'unauthorized', 'Basic']);
    expect(await refused(basic(OPERATOR_KEY, 'x'))).toEqual([401, 'unauthorized', 'Basic']);
    expect(await refused(basic('operator', `${OPERATOR_KEY}0`))).toEqual([401, 'unauthorized', 'Basic']);
    expect(await refused(basic('operator', merchant.apiKey.secret))).toEqual([403, 'forbidden', 'Basic']);
    expect(await refused({ authorization: `Bearer ${merchant.apiKey.secret}` })).toEqual([403, 'forbidden', 'Basic']);
  });

  test.each(PATHS)('%s is shown to an operator, and calls nobody else', async (path) => {
    for (const headers of [basic('', OPERATOR_KEY), { authorization: `Bearer ${OPERATOR_KEY}` }]) {
      const answer = await ask(path, headers);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'self'");
    }
  });

  test('tells of the queues and what waits in them', async () => {
    const { body } = await ask('/board/api/queues?activeQueue=events-daily_summaries', basic('ada', OPERATOR_KEY));
    const shown = body.queues.find(({ name }: { name: string }) => name === 'events-daily_summaries');
    expect(shown).toMatchObject({ readOnlyMode: true, counts: { waiting: 1 } });
    expect(JSON.stringify(shown.jobs)).toContain('apply-5-7-70');
  });

  test('has a queue for each consumer that the worker runs, the night’s and that of reports', async () => {
    const { body } = await ask('/board/api/queues', basic('ada', OPERATOR_KEY));
    const names = body.queues.map(({ name }: { name: string }) => name).sort();
    const followers = [...consumersOf(ROOMS), ...reactorsOf(ROOMS)].map(({ name }) => queueName(name));
    expect(names).toEqual([...followers, 'night', 'reconciliation'].sort());
  });

  test.each([
    ['PUT', '/board/api/queues/events-daily_summaries/pause'],
    ['PUT', '/board/api/queues/events-daily_summaries/empty'],
    ['PUT', '/board/api/queues/events-daily_summaries/obliterate'],
    ['PUT', '/board/api/queues/pause'],
    ['POST', '/board/api/queues/events-daily_summaries/add'],
  ])('does not %s %s', async (method, path) => {
    expect((await ask(path, basic('ada', OPERATOR_KEY), method)).body.code).toBe('method_not_allowed');
    expect(await queue.queue.getWaitingCount()).toBe(1);
    expect(await queue.queue.isPaused()).toBe(false);
  });

  test('is not there without a queue', async () => {
    const bare = await TestApi.start({ on: api.on });
    try {
      expect((await bare.client(basic('', OPERATOR_KEY)).get('/board')).status).toBe(404);
    } finally {
      await bare.stop();
    }
  });
});
