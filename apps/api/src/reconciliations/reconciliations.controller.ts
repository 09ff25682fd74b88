import { Body, Controller, Get, Inject, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { invalid } from '#kernel/problem.js';
import { cursorScope } from '#platform/cursor.js';
import { Deadline } from '#platform/deadline.js';
import { CONFIG } from '#platform/platform.module.js';
import type { RequestContext } from '#platform/request-context.js';
import { BeginCheckCommand } from '#reconciliation/internal/begin-check.command.js';
import { INTERNAL } from '#reconciliation/internal/found.js';
import { RetryReportCommand } from '#reconciliation/jobs/retry-report.command.js';
import { ReceiveReportCommand } from '#reconciliation/receiving/receive-report.command.js';
import { Uploads } from '#reconciliation/receiving/uploads.js';
import type { Report } from '#reconciliation/reports/report.js';
import { GetReportQuery, ListBadRowsQuery, ListReportsQuery } from '#reconciliation/reports/report.queries.js';
import type { Operator } from '#tenancy/operator.js';
import type { Config } from '../../../config.js';
import { Documented } from '../documented.js';
import { hasBody } from '../http-rules.js';
import { answering, emptyBodyIdempotencyOf, send, streamedIdempotency } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentContext, CurrentOperator, PathId } from '../request.js';
import { noFields } from '../schemas.js';
import { Shutdown } from '../shutdown.js';
import { reportBodyOf } from './report-body.js';
import {
  badRowBody,
  badRowList,
  listBadRowsQuery,
  listReportsQuery,
  receiveReportQuery,
  reconciliation,
  reconciliationList,
  reportBody,
} from './schemas.js';

/** What a report is uploaded as. */
const REPORT_TYPES = ['text/csv', 'application/xml', 'text/xml', 'multipart/form-data'] as const;

const EXAMPLE = `reference,object_ref,type,gross,fee,net,currency,occurred_at,batch
8835511210681145,,payment,12500,375,12125,EUR,2026-11-20T10:00:00Z,42
`;

@Controller('v1/reconciliations')
export class ReconciliationsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
    @Inject(CONFIG) private readonly config: Config,
    uploads: Uploads,
    shutdown: Shutdown,
  ) {
    // The other half of the grace is for tidying up, and for saying so.
    shutdown.onDrain(() => setTimeout(() => uploads.breakOff(), config.shutdownGraceMs / 2).unref());
  }

  @Post()
  @Documented({
    price: 'upload',
    summary: 'Upload what a processor or a bank reports, and have it held against the ledger',
    description:
      'The body is the report itself, or a form with it as its only file; it is read as it comes and may be large (RECONCILIATION_MAX_BYTES). Answered once all of it is here; then GET /v1/reconciliations/{id} tells what has become of it. An upload that breaks off leaves nothing. A report may come again, and overlap with others: each of its rows is matched once. An `Idempotency-Key` is kept with the digest of the report. With `source=internal` there is no body: the merchant’s books are held against themselves now, unless that is being done.',
    access: 'operator_for_merchant',
    streamedBody: REPORT_TYPES,
    bodyIsOptional: true,
    status: 202,
    response: reconciliation,
    requestExample: EXAMPLE,
    problems: ['malformed_json', 'unsupported_media_type', 'payload_too_large', 'validation_failed'],
  })
  async receive(
    @CurrentContext() context: RequestContext,
    @CurrentOperator() { name }: Operator,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query({ schema: receiveReportQuery }) query: z.output<typeof receiveReportQuery>,
  ) {
    const { source } = query;
    if (source === INTERNAL) return this.#check(context, name, { request, reply });
    const asked = {
      source,
      askedBy: name,
      periodFromMs: query.period_from,
      periodToMs: query.period_to,
      slaDays: query.sla_days,
    };
    const deadline = Deadline.after(this.config.reconciliationReceiveMs);
    const shown = { ...streamedIdempotency(request), status: 202, bodyOf: asBody };
    const command = new ReceiveReportCommand(
      { ...context, deadline },
      asked,
      reportBodyOf(request, context.cost),
      shown,
    );
    return send(reply, await this.commands.execute(command));
  }

  async #check(context: RequestContext, askedBy: string, { request, reply }: Asked) {
    if (hasBody(request)) throw invalid('body', 'must be empty: nobody uploads a report of the source internal');
    const shown = { idempotency: emptyBodyIdempotencyOf(request), status: 202, bodyOf: asBody };
    return send(reply, await this.commands.execute(new BeginCheckCommand(context, askedBy, shown)));
  }

  @Get()
  @Documented({
    price: 'list',
    summary: 'List reconciliations, newest first',
    access: 'operator_for_merchant',
    response: reconciliationList,
  })
  list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: listReportsQuery }) query: z.output<typeof listReportsQuery>,
  ) {
    const { limit, cursor, ...filter } = query;
    const { source, status } = filter;
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'reconciliations', filter),
      cursor,
      limit,
      read: (beforeId, count) =>
        this.queries.execute(new ListReportsQuery(context, { source, status, beforeId, limit: count })),
      position: ({ id }) => id,
      body: reportBody,
    });
  }

  @Get(':id')
  @Documented({
    price: 'get',
    summary: 'Get a reconciliation: how far it is, and what came of it',
    access: 'operator_for_merchant',
    response: reconciliation,
  })
  async get(@CurrentContext() context: RequestContext, @PathId('reconciliation') id: bigint) {
    return reportBody(await this.queries.execute(new GetReportQuery(context, id)));
  }

  @Post(':id/retry')
  @Documented({
    summary: 'Try again to match a report that failed',
    price: 'change',
    description:
      'One of which all was here, and that could not be matched in RECONCILIATION_TRIES: it goes on where it stood. An upload that failed is sent again.',
    access: 'operator_for_merchant',
    status: 202,
    response: reconciliation,
    problems: ['not_found', 'invalid_transition'],
  })
  async retry(
    @CurrentContext() context: RequestContext,
    @PathId('reconciliation') id: bigint,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const shown = answering(request, 202, asBody);
    return send(reply, await this.commands.execute(new RetryReportCommand(context, id, shown)));
  }

  @Get(':id/bad_rows')
  @Documented({
    price: 'list',
    summary: 'List lines of a report that could not be read, in their order',
    description: 'The first RECONCILIATION_BAD_ROWS of them; `rows_bad` counts all.',
    access: 'operator_for_merchant',
    response: badRowList,
  })
  badRows(
    @CurrentContext() context: RequestContext,
    @PathId('reconciliation') id: bigint,
    @Query({ schema: listBadRowsQuery }) { limit, cursor }: z.output<typeof listBadRowsQuery>,
  ) {
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'bad_rows', { id }),
      cursor,
      limit,
      read: (afterLine = -1n, count) =>
        this.queries.execute(new ListBadRowsQuery(context, id, { afterLine, limit: count })),
      position: ({ line }) => line,
      body: badRowBody,
    });
  }
}

interface Asked {
  request: FastifyRequest;
  reply: FastifyReply;
}

function asBody(report: Report): { body: object } {
  return { body: reportBody(report) };
}
