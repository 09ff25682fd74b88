import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import { INTERNAL } from '#reconciliation/internal/found.js';
import { SOURCES, type Source } from '#reconciliation/reading/sources.js';
import type { ListedBadRow } from '#reconciliation/reports/bad-row-store.js';
import type { Report } from '#reconciliation/reports/report.js';
import { amountOut, currencyOut, idOut, listOf, listQuery, timestampIn, timestampOut } from '../schemas.js';

const sources = Object.keys(SOURCES) as [Source, ...Source[]];
const STATUSES = ['receiving', 'matching', 'completed', 'failed'] as const;
const MAX_SLA_DAYS = 365;

const days = z
  .string('must be given once')
  .regex(/^[0-9]{1,3}$/, `must be a whole number from 0 to ${MAX_SLA_DAYS}`)
  .transform(Number)
  .refine((number) => number <= MAX_SLA_DAYS, `must be a whole number from 0 to ${MAX_SLA_DAYS}`)
  .optional();

export const receiveReportQuery = z
  .strictObject({
    source: z.enum([...sources, INTERNAL], `must be one of ${sources.join(', ')}, ${INTERNAL}`),
    period_from: timestampIn.optional().meta({ description: 'Left out: when the first of its rows happened.' }),
    period_to: timestampIn
      .optional()
      .meta({ description: 'The first moment behind the period; left out: when the last of its rows happened.' }),
    sla_days: days.meta({
      description:
        'Days for which what the report does not tell is expected; then it is missing. Default: RECONCILIATION_SLA_DAYS.',
      type: 'integer',
      minimum: 0,
      maximum: MAX_SLA_DAYS,
    }),
  })
  .refine(({ period_from: from, period_to: to }) => from === undefined || to === undefined || from <= to, {
    path: ['period_to'],
    message: 'must not be before period_from',
  })
  .refine(({ source, ...more }) => source !== INTERNAL || Object.values(more).every((given) => given === undefined), {
    path: ['source'],
    message: 'has neither a period nor days where it is internal',
  });

export const listReportsQuery = z.strictObject({
  source: z
    .string('must be given once')
    .regex(/^[a-z0-9][a-z0-9_]{0,63}$/, 'must be the name of a source')
    .optional(),
  status: z.enum(STATUSES, `must be one of ${STATUSES.join(', ')}`).optional(),
  ...listQuery,
});

export const listBadRowsQuery = z.strictObject(listQuery);

const count = z.int().min(0);

export const reconciliation = z
  .looseObject({
    id: idOut,
    source: z.string().meta({ description: `One of ${sources.join(', ')}, or internal.` }),
    status: z.enum(STATUSES).meta({
      description:
        '`matching`: all of it is here; `failed`: see `failure`; nothing was kept of an upload that broke off.',
    }),
    failure: z.string().nullable().meta({ description: 'Why it failed, in words.' }),
    asked_by: z
      .string()
      .nullable()
      .meta({ description: 'The operator who uploaded it, or asked for the check; null: the schedule.' }),
    rows: count.meta({ description: 'Lines that could be read, so far.' }),
    rows_bad: count.meta({ description: 'Lines that could not, so far.' }),
    repeated: count.meta({ description: 'Rows that another report had told before.' }),
    matched: count.meta({ description: 'Rows that are in a match.' }),
    expected: count.meta({ description: 'What the ledger has of the period, and no report has told yet.' }),
    breaks: z.looseObject({
      open: count,
      by_kind: z.record(z.string(), count).meta({ description: 'Those that are open.' }),
    }),
    totals: z
      .array(
        z.looseObject({
          currency: currencyOut,
          rows: count,
          gross: amountOut,
          fee: amountOut,
          net: amountOut,
          matched: amountOut,
          unmatched: amountOut,
        }),
      )
      .meta({
        description: 'Of its rows by currency, when it was completed; `matched` and `unmatched` are parts of `net`.',
      }),
    period: z.looseObject({ from: timestampOut.nullable(), to: timestampOut.nullable() }),
    sla_days: z.int(),
    trace_id: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .nullable()
      .meta({ description: 'Of its upload and of what matched it.' }),
    created_at: timestampOut,
    completed_at: timestampOut.nullable(),
  })
  .meta({ id: 'Reconciliation' });

export const reconciliationList = listOf(reconciliation, 'ReconciliationList');

const badRow = z
  .looseObject({
    line: z.int().min(0).meta({ description: 'Of a CSV file; of XML: which transaction of the file.' }),
    problem: z.string(),
    excerpt: z.string().meta({ description: 'The row as it stands, at most 200 characters of it.' }),
  })
  .meta({ id: 'BadRow' });

export const badRowList = listOf(badRow, 'BadRowList');

export function reportBody(report: Report) {
  const open = Object.values(report.breaks).reduce((sum, of) => sum + of, 0);
  return {
    id: String(report.id),
    source: report.source,
    status: report.status,
    failure: report.failure,
    asked_by: report.askedBy,
    rows: Number(report.rows),
    rows_bad: Number(report.rowsBad),
    repeated: Number(report.repeated),
    matched: Number(report.matched),
    expected: Number(report.expected),
    breaks: { open, by_kind: report.breaks },
    totals: report.totals,
    period: { from: timeOut(report.periodFromMs), to: timeOut(report.periodToMs) },
    sla_days: report.slaDays,
    trace_id: report.traceContext?.split('-')[1] ?? null,
    created_at: isoTime(report.createdAtMs),
    completed_at: timeOut(report.completedAtMs),
  };
}

export function badRowBody({ line, problem, excerpt }: ListedBadRow) {
  return { line: Number(line), problem, excerpt };
}

function timeOut(ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : isoTime(ms);
}
