import { expect, it } from 'vitest';
import { endSpan, isSent, startFrom, traceIdOf } from '#platform/tracing.js';
import { keepSpansOfTests } from '../../../test/support/kept-spans.js';
import { DAYS_LINKED, DaySpans } from './day-spans.js';
import type { Step } from './next-step.js';

const exporter = keepSpansOfTests(0);

const day = { day: '2026-11-20', startMs: 0, endMs: 86_400_000 };
const stepOf = (merchantId: bigint) => ({ standing: { merchantId }, day }) as Step;

it.each(['01', '00'])(
  'begins a trace for each merchant; of a range of flags %s so many are sampled where it is',
  (flags) => {
    const range = startFrom(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}`, 'settle range');
    const spans = new DaySpans(range);
    const days = Array.from({ length: DAYS_LINKED + 1 }, (_, at) => spans.start(stepOf(BigInt(at))));
    expect(new Set([range, ...days].map(traceIdOf)).size).toBe(DAYS_LINKED + 2);
    expect(days.filter(isSent)).toHaveLength(flags === '01' ? DAYS_LINKED : 0);
    expect(days.findIndex((one) => !isSent(one))).toBe(flags === '01' ? DAYS_LINKED : 0);
    for (const one of [...days, range]) endSpan(one);
    const [first] = exporter.getFinishedSpans();
    const told = { 'counterfoil.merchant_id': '0', 'counterfoil.business_date': '2026-11-20' };
    if (flags === '01') expect(first?.attributes).toEqual(told);
    const whole = exporter.getFinishedSpans().find(({ name }) => name === 'settle range');
    expect(whole?.links.length ?? 0).toBe(flags === '01' ? DAYS_LINKED : 0);
    expect(first?.links.map(({ context }) => context) ?? []).toMatchObject(flags === '01' ? [range.spanContext()] : []);
  },
);
