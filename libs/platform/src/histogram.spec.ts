import { ROOT_CONTEXT, type Span, TraceFlags, trace } from '@opentelemetry/api';
import { ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import { describe, expect, test } from 'vitest';
import { Histogram } from './histogram.js';
import { Metrics } from './metrics.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';

/** Not the global one: nobody else's spans become real by it. */
function spanOf(sampled: boolean): Span {
  const provider = new TracerProvider({ sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(0) }) });
  const parent = {
    traceId: TRACE,
    spanId: 'b7ad6b7169203331',
    traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
  };
  return provider.getTracer('test').startSpan('thing', {}, trace.setSpanContext(ROOT_CONTEXT, parent));
}

async function linesOf(histogram: Histogram, format: 'text' | 'openmetrics' = 'text'): Promise<string[]> {
  const metrics = new Metrics();
  metrics.histogram('counterfoil_step_seconds', 'Steps.', () => [[{ step: 'draft' }, histogram]]);
  return (await metrics.text(format)).split('\n').filter((line) => line.startsWith('counterfoil_step_seconds'));
}

describe('a histogram', () => {
  test('tells how many were up to each bound, those of the bounds before included', async () => {
    const histogram = new Histogram([0.005, 1, 2.5]);
    for (const value of [0.005, 0.006, 2, 31]) histogram.observe(value);
    const bucket = (le: string) => `counterfoil_step_seconds_bucket{step="draft",le="${le}"}`;
    expect(await linesOf(histogram)).toEqual([
      `${bucket('0.005')} 1`,
      `${bucket('1.0')} 2`,
      `${bucket('2.5')} 3`,
      `${bucket('+Inf')} 4`,
      'counterfoil_step_seconds_count{step="draft"} 4',
      'counterfoil_step_seconds_sum{step="draft"} 33.011',
    ]);
  });

  test('observes work that fails, which fails as before', async () => {
    const histogram = new Histogram();
    expect(await histogram.measure(async () => 'done')).toBe('done');
    await expect(histogram.measure(() => Promise.reject(new Error('away')))).rejects.toThrow('away');
    expect(histogram.count).toBe(2);
  });

  test('has the newest sampled trace of each bucket as its exemplar, in OpenMetrics alone', async () => {
    const histogram = new Histogram([1]);
    histogram.observe(0.5, `00-${'1'.repeat(32)}-b7ad6b7169203331-01`);
    histogram.observe(0.25, spanOf(true));
    histogram.observe(0.125, `00-${'2'.repeat(32)}-b7ad6b7169203331-00`);
    histogram.observe(2, spanOf(false));
    const [low, high] = await linesOf(histogram, 'openmetrics');
    expect(low).toMatch(new RegExp(`le="1\\.0"} 3 # {trace_id="${TRACE}"} 0\\.25 \\d{10}(\\.\\d+)?$`));
    expect(high).toBe('counterfoil_step_seconds_bucket{step="draft",le="+Inf"} 4');
    expect((await linesOf(histogram)).join()).not.toContain('trace_id');
  });
});
