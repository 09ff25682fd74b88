import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { notFound, ProblemError } from '#kernel/problem.js';
import { keepSpans } from '../../../test/support/kept-spans.js';
import { type Message, MessageCalls } from './buses.js';
import { Cost } from './cost.js';
import { Deadline } from './deadline.js';
import { Metrics } from './metrics.js';
import { Telemetry } from './telemetry.js';
import { endSpan, startChild } from './tracing.js';

const { exporter, telemetry } = keepSpans();
const untraced = Telemetry.start({ otlpEndpoint: undefined, sampleRatio: 1, serviceName: 'test' });
afterAll(() => telemetry.shutdown());
beforeEach(() => exporter.reset());

class OpenThingCommand implements Message {
  constructor(
    readonly context: Message['context'],
    readonly name: string,
  ) {}

  get greeting(): string {
    return `open, ${this.name}`;
  }
}

function command({ traced = true } = {}): OpenThingCommand {
  const request = { method: 'POST', route: '/test', path: () => '/test', startedMs: performance.now() };
  const span = (traced ? telemetry : untraced).startRequest(request, undefined);
  return new OpenThingCommand({ deadline: Deadline.after(1_000), span, cost: new Cost() }, 'sesame');
}

const counted = async (calls: MessageCalls): Promise<string[]> => {
  const metrics = new Metrics();
  calls.addMetrics(metrics);
  const lines = (await metrics.text()).split('\n');
  return lines.filter((line) => line.startsWith('counterfoil_command_seconds_count'));
};
const line = (outcome: string, count: number): string =>
  `counterfoil_command_seconds_count{name="OpenThing",outcome="${outcome}"} ${count}`;

describe('a command', () => {
  test('has a span below its context’s, which is the parent of what its handler does', async () => {
    const asked = command();
    const reply = await new MessageCalls('command').run(asked, async (seen) => {
      endSpan(startChild(seen.context.span, 'inside'));
      return seen.greeting;
    });
    expect(reply).toBe('open, sesame');
    const [inside, own] = exporter.getFinishedSpans();
    expect([inside?.name, own?.name]).toEqual(['inside', 'command OpenThing']);
    expect(own?.parentSpanContext?.spanId).toBe(asked.context.span.spanContext().spanId);
    expect(inside?.parentSpanContext?.spanId).toBe(own?.spanContext().spanId);
  });

  test('of a request that is not recorded goes to its handler as it is, without a span', async () => {
    const asked = command({ traced: false });
    const calls = new MessageCalls('command');
    await calls.run(asked, async (seen) => void expect(seen).toBe(asked));
    expect(exporter.getFinishedSpans()).toEqual([]);
    expect(await counted(calls)).toEqual([line('ok', 1)]);
  });

  const refusing: [how: string, handle: () => Promise<unknown>, outcome: string, isError: boolean][] = [
    ['answers', async () => undefined, 'ok', false],
    ['answers with what has a status of its own', async () => ({ status: 'due' }), 'ok', false],
    ['answers a refusal', async () => ({ result: { refusal: { code: 'not_pending' } } }), 'not_pending', false],
    ['answers a kept problem', async () => ({ status: 404, body: { code: 'not_found' } }), 'not_found', false],
    ['throws a refusal', () => Promise.reject(notFound('thing')), 'not_found', false],
    [
      'is not served',
      () => Promise.reject(new ProblemError('database_unavailable', 'Away.')),
      'database_unavailable',
      true,
    ],
    ['fails', () => Promise.reject(new TypeError('a bug')), 'error', true],
    [
      'fails before it begins',
      () => {
        throw new TypeError('no handler');
      },
      'error',
      true,
    ],
  ];

  test.each(refusing)('that %s is counted as such, and its span tells so', async (_how, handle, outcome, isError) => {
    const calls = new MessageCalls('command');
    const [result] = await Promise.allSettled([calls.run(command(), handle)]);
    const [direct] = await Promise.allSettled([(async () => handle())()]);
    expect(result).toEqual(direct);
    expect(await counted(calls)).toEqual([line(outcome, 1)]);
    const [span] = exporter.getFinishedSpans();
    expect(span?.attributes).toMatchObject({ 'counterfoil.outcome': outcome });
    expect(span?.status.code === 2).toBe(isError);
  });

  test('that was replayed says so in its span', async () => {
    await new MessageCalls('command').run(command(), async () => ({ status: 201, body: {}, replayed: true }));
    expect(exporter.getFinishedSpans()[0]?.attributes).toMatchObject({ 'counterfoil.replayed': true });
  });

  test('adds up how long it took', async () => {
    const calls = new MessageCalls('command');
    const startedMs = performance.now();
    await calls.run(command({ traced: false }), async () => {
      while (performance.now() - startedMs < 5);
    });
    const metrics = new Metrics();
    calls.addMetrics(metrics);
    const [, seconds] = /seconds_sum\{name="OpenThing",outcome="ok"\} (\S+)/.exec(await metrics.text()) ?? [];
    expect(Number(seconds)).toBeGreaterThan(0.004);
    expect(Number(seconds)).toBeLessThan((performance.now() - startedMs) / 1_000 + 0.001);
  });
});
