import { describe, expect, test } from 'vitest';
import { labelled, Metrics, ScrapeGate } from './metrics.js';

describe('metrics', () => {
  test('are read when they are asked for', async () => {
    const metrics = new Metrics();
    let count = 1;
    metrics.counter('things_total', 'Things.', () => count);
    metrics.gauge('states', 'States.', () => labelled('state', { open: count, closed: 0 }), ['state']);
    expect(await metrics.text()).toContain('\nthings_total 1\n');
    count = 5;
    const text = await metrics.text();
    for (const line of ['things_total 5', 'states{state="open"} 5', 'states{state="closed"} 0']) {
      expect(text).toContain(`\n${line}\n`);
    }
    expect(text).toContain('process_cpu_seconds_total');
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
