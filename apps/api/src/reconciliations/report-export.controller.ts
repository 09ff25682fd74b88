import { addAbortSignal, Readable } from 'node:stream';
import { Controller, Get, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { isReport } from '#reconciliation/breaks/break-store.js';
import { csvLine } from '#reconciliation/reports/csv-out.js';
import { EXPORT_COLUMNS, type ExportedRow, exportReport } from '#reconciliation/reports/report-export.js';
import { Documented } from '../documented.js';
import { CurrentContext, PathId } from '../request.js';
import { idOut } from '../schemas.js';

/** Whoever has not taken all of it by then is cut off. */
const EXPORT_TIMEOUT_MS = 600_000;

const exportQuery = z.strictObject({
  format: z.enum(['json', 'csv'], 'must be json or csv').optional().meta({ description: 'Or `Accept: text/csv`.' }),
});

const exported = z
  .looseObject({
    reconciliation_id: idOut,
    rows: z.array(z.looseObject({ outcome: z.string() })).meta({
      description: `Of each row, and then of each break that no row stands for: ${EXPORT_COLUMNS.join(', ')}.`,
    }),
  })
  .meta({ id: 'ReconciliationReport' });

@Controller('v1/reconciliations/:id/report')
export class ReportExportController {
  constructor(private readonly database: Database) {}

  @Get()
  @Documented({
    price: 'list',
    summary: 'Get all rows of a report with what became of each, as JSON or CSV',
    description: 'As it is read: rows that are matched meanwhile are shown as they are when their turn comes.',
    access: 'operator_for_merchant',
    response: exported,
    csv: 'The same, a line each. Cells that a spreadsheet would take for a formula have an apostrophe before them.',
  })
  async report(
    @CurrentContext() { merchantId, deadline, cost }: RequestContext,
    @PathId('reconciliation') id: bigint,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query({ schema: exportQuery }) { format }: z.output<typeof exportQuery>,
  ) {
    if (!(await isReport(this.database, merchantId, id, deadline))) throw notFound('reconciliation');
    const isCsv = format === undefined ? /\btext\/csv\b/i.test(request.headers.accept ?? '') : format === 'csv';
    const pages = told(exportReport(this.database, merchantId, id), (rows) => cost.addRows(rows.length));
    const texts = told(isCsv ? csv(pages) : json(id, pages), (text) => cost.addBytes(Buffer.byteLength(text)));
    reply.header('content-type', isCsv ? 'text/csv; charset=utf-8' : 'application/json; charset=utf-8');
    return addAbortSignal(AbortSignal.timeout(EXPORT_TIMEOUT_MS), Readable.from(texts));
  }
}

/** Each of them, told of as it comes. */
async function* told<T>(parts: AsyncIterable<T>, tell: (part: T) => void): AsyncGenerator<T> {
  for await (const part of parts) {
    tell(part);
    yield part;
  }
}

async function* csv(pages: AsyncIterable<readonly ExportedRow[]>): AsyncGenerator<string> {
  yield csvLine(EXPORT_COLUMNS);
  for await (const rows of pages) yield rows.map((row) => csvLine(EXPORT_COLUMNS.map((name) => row[name]))).join('');
}

async function* json(id: bigint, pages: AsyncIterable<readonly ExportedRow[]>): AsyncGenerator<string> {
  yield `{"reconciliation_id":"${id}","rows":[`;
  let before = '';
  for await (const rows of pages) {
    yield `${before}${rows.map((row) => JSON.stringify(row)).join(',')}`;
    before = ',';
  }
  yield ']}';
}
