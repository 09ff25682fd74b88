import { describe, expect, test } from 'vitest';
import { addDurations, Durations } from './durations.js';
import { Metrics } from './metrics.js';

describe('durations', () => {
  test('are told as a histogram: up to each bound, those of the bounds before included', async () => {
    const metrics = new Metrics();
    const [draft, close] = [new Durations(), new Durations()];
    addDurations(metrics, { name: 'counterfoil_step_seconds', what: 'steps', label: 'step' }, { draft, close });
    for (const seconds of [0.005, 0.006, 2, 31]) draft.add(seconds);
    const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith('counterfoil_step_seconds'));
    const bucket = (step: string, le: string) => `counterfoil_step_seconds_bucket{step="${step}",le="${le}"}`;
    expect(lines).toEqual(
      expect.arrayContaining([
        `${bucket('draft', '0.005')} 1`,
        `${bucket('draft', '0.01')} 2`,
        `${bucket('draft', '1')} 2`,
        `${bucket('draft', '2.5')} 3`,
        `${bucket('draft', '30')} 3`,
        `${bucket('draft', '+Inf')} 4`,
        'counterfoil_step_seconds_count{step="draft"} 4',
        'counterfoil_step_seconds_sum{step="draft"} 33.011',
        `${bucket('close', '+Inf')} 0`,
      ]),
    );
  });

  test('count work that fails, which fails as before', async () => {
    const durations = new Durations();
    expect(await durations.measure(async () => 'done')).toBe('done');
    await expect(durations.measure(() => Promise.reject(new Error('away')))).rejects.toThrow('away');
    expect(durations.count).toBe(2);
  });
});
