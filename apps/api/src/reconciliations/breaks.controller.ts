import { Body, Controller, Get, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { notFound, type ProblemCode } from '#kernel/problem.js';
import { parseSnowflake } from '#kernel/snowflake.js';
import { cursorScope } from '#platform/cursor.js';
import type { Idempotency } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import { ActOnBreakCommand, type BreakRequest } from '#reconciliation/breaks/act-on-break.command.js';
import { GetBreakQuery, ListBreaksQuery } from '#reconciliation/breaks/break.queries.js';
import type { Operator } from '#tenancy/operator.js';
import { Documented, type RouteDocumentation } from '../documented.js';
import { givenIdempotencyOf, idempotencyOf, refuse } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentContext, CurrentOperator, PathId } from '../request.js';
import { noFields } from '../schemas.js';
import { LEDGER_REFUSES } from '../transactions/transactions.controller.js';
import {
  assign,
  breakList,
  breakShape,
  comment,
  listBreaksQuery,
  proposalOf,
  propose,
  reject,
  withdraw,
} from './break-schemas.js';

const OF_OPERATORS = { access: 'operator_for_merchant', response: breakShape } as const;
const ACTED: readonly ProblemCode[] = ['not_found', 'forbidden', 'invalid_transition'];

const POSTED = {
  action: 'post',
  entries: [
    { account_code: 'suspense:EUR', direction: 'debit', amount: '250', currency: 'EUR' },
    { account_code: 'provider_receivable:EUR', direction: 'credit', amount: '250', currency: 'EUR' },
  ],
  reason: 'The processor kept it.',
};

function action(documentation: Omit<RouteDocumentation, 'response' | 'price'>): MethodDecorator {
  return Documented({ ...OF_OPERATORS, price: 'change', problems: ACTED, ...documentation });
}

/** All of a merchant's breaks, and those of one report, are worked off alike. */
@Controller(['v1/breaks', 'v1/reconciliations/:reconciliation_id/breaks'])
export class BreaksController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Get()
  @Documented({ ...OF_OPERATORS, price: 'list', summary: 'List breaks, newest first', response: breakList })
  list(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Query({ schema: listBreaksQuery }) query: z.output<typeof listBreaksQuery>,
  ) {
    const { limit, cursor, ...filters } = query;
    const { kind, status, assignee, older_than_days: olderThanDays } = filters;
    const reconciliationId = reportOf(request, 'reconciliation');
    const filter = { reconciliationId, kind, status, assignee, olderThanDays };
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'breaks', { ...filters, reconciliation_id: reconciliationId }),
      cursor,
      limit,
      read: (beforeId, count) =>
        this.queries.execute(new ListBreaksQuery(context, { ...filter, beforeId, limit: count })),
      position: ({ id }) => BigInt(id),
      body: (row) => row,
    });
  }

  @Get(':id')
  @Documented({ ...OF_OPERATORS, price: 'get', summary: 'Get a break' })
  get(@CurrentContext() context: RequestContext, @Req() request: FastifyRequest, @PathId('break') id: bigint) {
    return this.queries.execute(new GetBreakQuery(context, id, reportOf(request, 'break')));
  }

  @Post(':id/assign')
  @action({ summary: 'Say who looks after a break', requestExample: { to: 'ada' } })
  assign(
    @CurrentContext() context: RequestContext,
    @CurrentOperator() operator: Operator,
    @PathId('break') id: bigint,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: assign }) { to }: z.output<typeof assign>,
  ) {
    return this.#act({ context, operator, id, request, reply }, { action: 'assign', to });
  }

  @Post(':id/comment')
  @action({ summary: 'Say something of a break', requestExample: { text: 'Asked the processor: ticket 4711.' } })
  comment(
    @CurrentContext() context: RequestContext,
    @CurrentOperator() operator: Operator,
    @PathId('break') id: bigint,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: comment }) { text }: z.output<typeof comment>,
  ) {
    return this.#act({ context, operator, id, request, reply }, { action: 'comment', text });
  }

  @Post(':id/propose')
  @action({
    summary: 'Propose how a break should end',
    description:
      '`post`: entries that are posted when another operator approves; `match`: its row and these items are the same money; `write_off`: nothing is posted. What the ledger would refuse is refused now, but for floors: those are respected then.',
    requestExample: POSTED,
    problems: [...ACTED, 'unbalanced_entries', 'currency_mismatch', 'account_closed', 'amount_out_of_range'],
  })
  propose(
    @CurrentContext() context: RequestContext,
    @CurrentOperator() operator: Operator,
    @PathId('break') id: bigint,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: propose }) body: z.output<typeof propose>,
  ) {
    return this.#act({ context, operator, id, request, reply }, proposalOf(body));
  }

  @Post(':id/approve')
  @action({
    summary: 'Approve what another operator has proposed, which carries it out',
    description:
      'Once, whatever crashes. Whoever proposed it cannot: neither with the same key, nor with another one of the same name, nor with one that the same operator answers for. What the ledger refuses stays proposed.',
    idempotent: true,
    problems: [...ACTED, ...LEDGER_REFUSES],
  })
  approve(
    @CurrentContext() context: RequestContext,
    @CurrentOperator() operator: Operator,
    @PathId('break') id: bigint,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const asked = { context, operator, id, request, reply };
    return this.#act(asked, { action: 'approve' }, idempotencyOf(request));
  }

  @Post(':id/reject')
  @action({
    summary: 'Reject what another operator has proposed',
    description: 'The break is assigned or open again; its comments keep the proposal and the reason.',
    requestExample: { reason: 'The fee belongs on another account.' },
  })
  reject(
    @CurrentContext() context: RequestContext,
    @CurrentOperator() operator: Operator,
    @PathId('break') id: bigint,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: reject }) { reason }: z.output<typeof reject>,
  ) {
    return this.#act({ context, operator, id, request, reply }, { action: 'reject', reason });
  }

  @Post(':id/withdraw')
  @action({
    summary: 'Take back what one has proposed',
    description:
      'Whoever proposed it, under whatever key. The break is assigned or open again; its comments keep the proposal and the reason.',
    requestExample: { reason: 'The amount was a typing error.' },
  })
  withdraw(
    @CurrentContext() context: RequestContext,
    @CurrentOperator() operator: Operator,
    @PathId('break') id: bigint,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: withdraw }) { reason }: z.output<typeof withdraw>,
  ) {
    return this.#act({ context, operator, id, request, reply }, { action: 'withdraw', reason });
  }

  async #act(asked: Asked, what: BreakRequest, idempotency?: Idempotency) {
    const { context, operator, id: breakId, request, reply } = asked;
    const named = { breakId, reconciliationId: reportOf(request, 'break') };
    const given = idempotency ?? givenIdempotencyOf(request);
    const { result, replayed } = await this.commands.execute(
      new ActOnBreakCommand(context, operator, named, what, given),
    );
    if (replayed) reply.header('Idempotent-Replayed', 'true');
    return 'refusal' in result ? refuse(reply, result.refusal) : result.answer;
  }
}

interface Asked {
  context: RequestContext;
  operator: Operator;
  id: bigint;
  request: FastifyRequest;
  reply: FastifyReply;
}

/** The report of the path, where that names one. What no id can be has no `what`. */
function reportOf({ params }: FastifyRequest, what: string): bigint | undefined {
  const { reconciliation_id: given } = params as Record<string, string | undefined>;
  if (given === undefined) return undefined;
  const id = parseSnowflake(given);
  if (id === undefined) throw notFound(what);
  return id;
}
