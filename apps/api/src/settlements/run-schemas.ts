import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import type { Run } from '#settlement/runs/run-store.js';
import { amountOut, currencyOut, DAY, dayIn, idIn, idOut, listOf, problem, timestampOut } from '../schemas.js';

const MAX_MERCHANTS = 1_000;

export const startRun = z
  .strictObject({
    business_date: dayIn,
    merchant_ids: z
      .array(idIn)
      .min(1, 'must name at least one merchant')
      .max(MAX_MERCHANTS, `must name at most ${MAX_MERCHANTS} merchants`)
      .refine((ids) => new Set(ids).size === ids.length, 'must name each merchant once')
      .optional()
      .meta({ description: 'Left out: all merchants.' }),
  })
  .meta({ id: 'StartSettlementRun' });

export const settlementRun = z
  .looseObject({
    id: idOut,
    business_date: z.string().regex(DAY),
    asked_by: z.enum(['operator', 'schedule']),
    status: z.enum(['queued', 'running', 'completed', 'failed']).meta({
      description:
        '`completed`: each merchant has been seen to; `failed`: and of all of them the day could not be settled.',
    }),
    merchants: z.looseObject({
      total: z.int(),
      settled: z.int(),
      empty: z.int().meta({ description: 'Whose day is settled, and nothing was in it.' }),
      not_due: z.int().meta({ description: 'Whose day is not over yet, or who were not there yet.' }),
      failed: z.int(),
    }),
    totals: z
      .array(
        z.looseObject({
          currency: currencyOut,
          settlements: z.int(),
          gross: amountOut,
          refunds: amountOut,
          disputes: amountOut,
          other: amountOut,
          adjustments: amountOut,
          fees: amountOut,
          net: amountOut,
        }),
      )
      .meta({ description: 'What the settlements of the day come to, of the merchants seen to so far.' }),
    rate: z.number().nullable().meta({ description: 'Merchants a second; null before the first.' }),
    eta: timestampOut.nullable().meta({ description: 'When a running one will be over at this rate.' }),
    errors: z
      .array(z.looseObject({ merchant_id: idOut, problem }))
      .meta({ description: 'The first 100; `merchants` counts all.' }),
    trace_id: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .nullable()
      .meta({ description: 'The run’s own trace: a span for each range of merchants.' }),
    created_at: timestampOut,
    started_at: timestampOut.nullable(),
    finished_at: timestampOut.nullable(),
  })
  .meta({ id: 'SettlementRun' });

export const settlementRunList = listOf(settlementRun, 'SettlementRunList');

export function runBody(run: Run) {
  const { total, settled, empty, notDue, failed } = run.merchants;
  const traceId = run.traceContext?.split('-')[1] ?? null;
  const errors = JSON.parse(run.errors) as { merchant_id: string; problem: object }[];
  return {
    id: String(run.id),
    business_date: run.businessDate,
    asked_by: run.askedBy,
    status: run.status,
    merchants: { total, settled, empty, not_due: notDue, failed },
    totals: Object.entries(run.totals).map(([currency, { settlements, ...amounts }]) => ({
      currency,
      settlements: Number(settlements),
      ...amounts,
    })),
    ...paceOf(run),
    errors: errors.map((one) => ({ ...one, problem: { ...one.problem, trace_id: traceId ?? UNTRACED } })),
    trace_id: traceId,
    created_at: isoTime(run.createdAtMs),
    started_at: timeOut(run.startedAtMs),
    finished_at: timeOut(run.finishedAtMs),
  };
}

/** A problem has a trace id, traced or not. */
const UNTRACED = '0'.repeat(32);

function paceOf({ merchants, startedAtMs, finishedAtMs, asOfMs }: Run) {
  const done = merchants.settled + merchants.empty + merchants.notDue + merchants.failed;
  if (startedAtMs === null || done === 0) return { rate: null, eta: null };
  const perMs = done / Math.max(1, (finishedAtMs ?? asOfMs) - startedAtMs);
  const leftMs = (merchants.total - done) / perMs;
  return {
    rate: Math.round(perMs * 10_000) / 10,
    eta: finishedAtMs === null ? isoTime(Math.round(asOfMs + leftMs)) : null,
  };
}

function timeOut(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}
