import { randomBytes } from 'node:crypto';
import { type Span, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { DelayedError, type Job } from 'bullmq';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { inTime, Queues } from '#platform/queues.js';
import { openRedis, RECONNECT_LONGEST_MS } from '#platform/redis.js';
import { endSpan, spanTime, startChild, traceparentOf, tracer } from '#platform/tracing.js';
import { keepSpansOfTests } from './support/kept-spans.js';
import { privateRedis } from './support/redis.js';
import { until } from './support/until.js';

const OPTIONS = { concurrency: 1, lockDuration: 5_000, stalledInterval: 5_000 };
const opened: Queues[] = [];

const databaseUrl = () => `postgres://nobody@localhost/queues_${randomBytes(6).toString('hex')}`;
const openQueues = (url: string, redisUrl = inject('redisQueueUrl')): Queues => {
  const queues = new Queues(redisUrl, url);
  opened.push(queues);
  return queues;
};
const keysOf = async (url: string): Promise<string[]> => {
  const redis = openRedis(inject('redisQueueUrl'), {});
  const keys = await redis.keys(`{counterfoil-${new URL(url).pathname.slice(1)}}*`);
  redis.disconnect();
  return keys;
};

afterEach(async () => {
  await Promise.all(opened.splice(0).map((queues) => queues.close(1_000)));
});

test('a job reaches the workers of its own database, and no other’s on the same Redis', async () => {
  const [mine, theirs] = [openQueues(databaseUrl()), openQueues(databaseUrl())];
  const [done, wrong]: [string[], string[]] = [[], []];
  mine.worker<string>('night', async (job) => void done.push(job.data), OPTIONS);
  theirs.worker<string>('night', async (job) => void wrong.push(job.data), OPTIONS);
  const queue = mine.queue<string>('night', { removeOnComplete: true });
  await queue.addBulk(['one', 'two'].map((data) => ({ name: 'settle', data })));
  await until('both are done', () => done.length === 2);
  expect([done, wrong]).toEqual([['one', 'two'], []]);
  await queue.obliterate({ force: true });
});

test('a scheduler that two processes set up is one', async () => {
  const url = databaseUrl();
  const times: number[] = [];
  for (const queues of [openQueues(url), openQueues(url)]) {
    const queue = queues.queue<object>('night', { removeOnComplete: true });
    await queue.upsertJobScheduler('name what is due', { every: 60_000 }, { name: 'look' });
    queues.worker('night', async (job) => void times.push(job.timestamp), OPTIONS);
  }
  const queue = openQueues(url).view('night');
  await until('it has worked once', () => times.length === 1);
  expect(await queue.getJobSchedulersCount()).toBe(1);
  expect(await queue.getDelayedCount()).toBe(1);
  await queue.obliterate({ force: true });
});

test('a queue that was opened while Redis did not answer works once it does', async () => {
  const redis = await privateRedis('queue');
  try {
    const queues = openQueues(databaseUrl(), redis.url);
    await queues.queue('before').waitUntilReady();
    redis.signal('SIGSTOP');
    const queue = queues.queue<string>('meanwhile');
    await expect(inTime(queue.add('apply', 'lost'))).rejects.toThrow();
    redis.signal('SIGCONT');
    const added = () => inTime(queue.add('apply', 'one')).then(Boolean, () => false);
    expect(await until('a job is added', added)).toBe(true);
    await queues.close();
  } finally {
    redis.signal('SIGCONT');
    await redis.stop();
  }
});

test('whoever looks at a queue writes nothing', async () => {
  const url = databaseUrl();
  expect(await openQueues(url).view('night').getJobCounts()).toMatchObject({ waiting: 0 });
  expect(await keysOf(url)).toEqual([]);
});

test('without Redis adding a job fails, and closing ends', async () => {
  const queues = openQueues(databaseUrl(), 'redis://127.0.0.1:1');
  queues.worker('night', async () => undefined, OPTIONS);
  await expect(inTime(queues.queue('night').add('settle', {}))).rejects.toThrow('the queue did not answer in time');
  await queues.close(100);
});

test('closing does not wait for a Redis that is away, where nothing is in hand', async () => {
  const redis = await privateRedis('queue');
  const queues = openQueues(databaseUrl(), redis.url);
  const done: string[] = [];
  queues.worker<object>('night', async ({ name }) => void done.push(name), OPTIONS);
  await queues.queue<object>('night', { removeOnComplete: true }).add('settle', {});
  await until('the job is done', () => done.length === 1);
  redis.signal('SIGSTOP');
  try {
    const from = performance.now();
    await queues.close(30_000);
    expect(performance.now() - from).toBeLessThan(10_000);
  } finally {
    redis.signal('SIGCONT');
    await redis.stop();
  }
});

test('closing waits for the job in hand for as long as it is told to', async () => {
  const url = databaseUrl();
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const [queues, other] = [openQueues(url), openQueues(url)];
  const ended: string[] = [];
  const work = async (): Promise<void> => {
    reached.resolve();
    await released.promise;
    ended.push('job');
  };
  queues.worker('night', work, OPTIONS);
  const queue = other.queue<object>('night', { removeOnComplete: true });
  await queue.add('settle', {});
  await reached.promise;
  const closed = queues.close(30_000).then(() => ended.push('closed'));
  for (let times = 0; times < 20; times += 1) await queue.getJobCounts();
  released.resolve();
  await closed;
  expect(ended).toEqual(['job', 'closed']);
  expect(await queue.getJobCounts()).toMatchObject({ active: 0, waiting: 0, failed: 0 });
  await queue.obliterate({ force: true });
});

test('a connection to Redis is tried again for as long as Redis is away, at most a second later', () => {
  const redis = openRedis(inject('redisQueueUrl'), { lazyConnect: true });
  const tries = [1, 10, 1_000_000];
  expect(tries.map((times) => redis.options.retryStrategy?.(times))).toEqual([50, 500, RECONNECT_LONGEST_MS]);
});

describe('the span of a job', () => {
  const exporter = keepSpansOfTests();
  const spans = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);

  test('is of one try, below the span that added it; of one that is put off it has not failed', async () => {
    const queues = openQueues(databaseUrl());
    const tries: (() => never | undefined)[] = [
      () => {
        throw new DelayedError();
      },
      () => {
        throw new Error('broken');
      },
      () => undefined,
    ];
    const work = async (job: Job, token: string | undefined, span: Span): Promise<void> => {
      endSpan(startChild(span, 'work'));
      if (tries.length === 3) await job.moveToDelayed(Date.now(), token);
      tries.shift()?.();
    };
    queues.worker('night', work, OPTIONS);
    const queue = queues.queue<object>('night', { removeOnComplete: true, attempts: 3 });
    const producer = tracer.startSpan('plan', { startTime: spanTime() });
    const { id } = await queue.add('settle', {}, { telemetry: { metadata: traceparentOf(producer) ?? '' } });
    await until('it is done', () => spans('process night').length === 3);
    const { UNSET, ERROR } = SpanStatusCode;
    expect(spans('process night').map(({ status }) => status.code)).toEqual([UNSET, ERROR, UNSET]);
    for (const span of spans('process night')) {
      expect(span.kind).toBe(SpanKind.CONSUMER);
      expect(span.parentSpanContext?.spanId).toBe(producer.spanContext().spanId);
      expect(span.attributes).toMatchObject({
        'messaging.system': 'bullmq',
        'messaging.operation.type': 'process',
        'messaging.destination.name': 'night',
        'messaging.message.id': id,
      });
    }
    const processed = spans('process night').map((span) => span.spanContext().spanId);
    expect(spans('work').map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual(processed);
    await queue.obliterate({ force: true });
  });

  test('is there without one that added it where it fails: those who look for work mostly find none', async () => {
    const queues = openQueues(databaseUrl());
    let runs = 0;
    const work = async (): Promise<void> => {
      runs += 1;
      if (runs === 2) throw new Error('broken');
    };
    queues.worker('looks', work, OPTIONS);
    const queue = queues.queue<object>('looks', { removeOnComplete: true });
    await queue.add('look', {});
    await until('it has run', () => runs === 1);
    await queue.add('look', {});
    await until('it has failed', () => spans('process looks').length > 0);
    await queue.add('look', {});
    await until('it has run again', () => runs === 3);
    expect(spans('process looks').map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR]);
    await queue.obliterate({ force: true });
  });
});
