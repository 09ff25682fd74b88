import { describe, expect, test } from 'vitest';
import { labelled, Metrics, ScrapeGate } from './metrics.js';

describe('metrics', () => {
  test('are read when they are asked for', async () => {
    const metrics = new Metrics();
    let count = 1;
    metrics.counter('things_total', 'Things.', () => count);
    metrics.gauge('states', 'States.', () => labelled('state', { open: count, closed: 0 }));
    expect(await metrics.text()).toContain('\nthings_total 1\n');
    count = 5;
    const text = await metrics.text();
    for (const line of ['things_total 5', 'states{state="open"} 5', 'states{state="closed"} 0']) {
      expect(text).toContain(`\n${line}\n`);
    }
    expect(text).toContain('process_cpu_seconds_total');
  });

  test('have the same lines in both formats; in OpenMetrics a counter’s family is without _total, and there is an end', async () => {
    const metrics = new Metrics();
    metrics.counter('things_total', 'Things.', () => labelled('what', { 'a "b"\\\n': 2 }));
    metrics.summary('calls_seconds', 'Calls.', () => [[{ outcome: 'ok' }, { count: 3, seconds: 0.5 }]]);
    const formats = [await metrics.text(), await metrics.text('openmetrics'), await metrics.text()] as const;
    const [text, open, again] = formats.map((one) =>
      one.split('\n').filter((line) => /^(# \w+ )?(things|calls)/.test(line)),
    );
    expect(text).toEqual([
      '# HELP things_total Things.',
      '# TYPE things_total counter',
      String.raw`things_total{what="a \"b\"\\\n"} 2`,
      '# HELP calls_seconds Calls.',
      '# TYPE calls_seconds summary',
      'calls_seconds_count{outcome="ok"} 3',
      'calls_seconds_sum{outcome="ok"} 0.5',
    ]);
    expect(open).toEqual(text?.map((line) => line.replace(/^(# \w+ things)_total/, '$1')));
    expect(again).toEqual(text);
    expect(formats[1].endsWith('\n# EOF\n')).toBe(true);
    expect(formats[0]).not.toContain('# EOF');
  });

  test('are refused where a counter would have another name in OpenMetrics, or a name is there already', () => {
    const metrics = new Metrics();
    expect(() => metrics.counter('things', 'Things.', () => 1)).toThrow('_total');
    metrics.gauge('states', 'States.', () => 1);
    expect(() => metrics.gauge('states', 'States.', () => 1)).toThrow('two metrics');
  });
});

describe('the gate of the metrics', () => {
  const gate = new ScrapeGate(['127.0.0.1', '::1', '10.1.2.3', 'fd00::7']);

  test.each(['127.0.0.1', '::1', '::ffff:127.0.0.1', '10.1.2.3', 'fd00:0:0::7'])('admits %s', (peer) =>
    expect(gate.admits(peer, {})).toBe(true),
  );

  test.each(['127.0.0.2', '10.1.2.4', '::ffff:10.1.2.4', 'fd00::8', undefined])('refuses %s', (peer) =>
    expect(gate.admits(peer, {})).toBe(false),
  );

  test('refuses whom a proxy at an allowed address forwards', () => {
    expect(gate.admits('127.0.0.1', { 'x-forwarded-for': '127.0.0.1' })).toBe(false);
    expect(gate.admits('127.0.0.1', { forwarded: 'for=127.0.0.1' })).toBe(false);
  });
});
