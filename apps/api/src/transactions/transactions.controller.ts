import { Body, Controller, Get, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { Span } from '@opentelemetry/api';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { notFound } from '#kernel/problem.js';
import { ChangeTransactionCommand } from '#ledger/posting/change-transaction.command.js';
import { PostBatchCommand } from '#ledger/posting/post-batch.command.js';
import { PostTransactionCommand } from '#ledger/posting/post-transaction.command.js';
import type { PostingReply, PostingResult } from '#ledger/posting/posting.js';
import { GetTransactionsQuery, ListTransactionsQuery } from '#ledger/reading/transaction.queries.js';
import { cursorScope } from '#platform/cursor.js';
import type { RequestContext } from '#platform/request-context.js';
import { inTurns } from '#platform/turns.js';
import { Documented } from '../documented.js';
import { idempotencyInTurns, idempotencyOf, listInTurns, refuse } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentContext, PathId } from '../request.js';
import {
  batchItemOf,
  batchResultBody,
  batchResults,
  factsOf,
  ignoreFloorOf,
  listTransactionsQuery,
  partOf,
  postBatch,
  postPending,
  postRequestOf,
  postTransaction,
  reverseTransaction,
  summaryBody,
  transaction,
  transactionBody,
  transactionList,
  voidPending,
} from './schemas.js';

const TRANSFER_EXAMPLE = {
  type: 'transfer',
  entries: [
    { account_code: 'wallet:alice', direction: 'debit', amount: '1250', currency: 'EUR' },
    { account_code: 'wallet:bob', direction: 'credit', amount: '1250', currency: 'EUR' },
  ],
};
export const LEDGER_REFUSES = [
  'unbalanced_entries',
  'currency_mismatch',
  'account_closed',
  'insufficient_funds',
  'amount_out_of_range',
  'condition_failed',
] as const;

@Controller('v1/transactions')
export class TransactionsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Post()
  @Documented({
    price: 'posting',
    summary: 'Post a transaction, or hold it',
    status: 201,
    alsoStatus: [200],
    response: transaction,
    requestExample: TRANSFER_EXAMPLE,
    problems: ['forbidden', 'not_found', ...LEDGER_REFUSES],
    idempotent: true,
  })
  async create(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: postTransaction }) body: z.output<typeof postTransaction>,
  ) {
    const idempotency = body.dry_run ? 'dry run' : idempotencyOf(request);
    const answer = await this.commands.execute(
      new PostTransactionCommand(context, postRequestOf(body, byOperator(request)), idempotency),
    );
    return answerWith(reply, context, answer, body.dry_run);
  }

  @Post('batch')
  @Documented({
    price: 'posting',
    summary: 'Post up to 1,000 transactions, all or each for itself',
    largeBody: true,
    response: batchResults,
    requestExample: { mode: 'atomic', transactions: [TRANSFER_EXAMPLE] },
    problems: ['forbidden', 'not_found', ...LEDGER_REFUSES],
    idempotent: true,
  })
  async createBatch(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: postBatch }) body: z.output<typeof postBatch>,
  ) {
    const idempotency = await idempotencyInTurns(request);
    const items: ReturnType<typeof batchItemOf>[] = [];
    await inTurns(body.transactions, (item) => {
      const read = batchItemOf(item, byOperator(request));
      items.push(read);
      // Nothing behind the first problem of an atomic batch is looked at.
      return body.mode === 'independent' || !('accepted' in read);
    });
    const { result, replayed } = await this.commands.execute(
      new PostBatchCommand(context, body.mode, items, idempotency),
    );
    if (replayed) reply.header('Idempotent-Replayed', 'true');
    if (!Array.isArray(result)) return refuse(reply, result.refusal);
    nameOn(context.span, result);
    return listInTurns('results', result, (item) => batchResultBody(context.merchantId, item));
  }

  @Get()
  @Documented({
    price: 'list',
    summary: 'List transactions, newest first',
    response: transactionList,
    problems: ['not_found'],
  })
  async list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: listTransactionsQuery }) query: z.output<typeof listTransactionsQuery>,
  ) {
    const { limit, cursor, expand, ...filters } = query;
    const filter = {
      accountId: filters.account_id,
      type: filters.type,
      status: filters.status,
      externalRef: filters.external_ref,
      parentId: filters.parent_id,
      createdFromMs: filters.created_from,
      createdToMs: filters.created_to,
      effectiveFromMs: filters.effective_from,
      effectiveToMs: filters.effective_to,
    };
    const scope = cursorScope(context.merchantId, 'transactions', { ...filters, expand });
    const page = { asking: context, scope, cursor, limit };
    const read = (before: bigint | undefined, count: number) =>
      this.queries.execute(new ListTransactionsQuery(context, { filter, beforeId: before, limit: count }));
    if (expand === undefined) {
      return this.pages.page({ ...page, read, position: (summary) => summary.id, body: summaryBody });
    }
    return this.pages.page({
      ...page,
      read: async (before, count) => {
        const { rows, stoppedAt } = await read(before, count);
        const ids = rows.map((summary) => summary.id);
        return { rows: await this.queries.execute(new GetTransactionsQuery(context, ids)), stoppedAt };
      },
      position: (posting) => posting.transaction.id,
      body: (posting) => transactionBody(context.merchantId, posting),
    });
  }

  @Get(':id')
  @Documented({ price: 'get', summary: 'Get a transaction by its id', response: transaction, problems: ['not_found'] })
  async get(@CurrentContext() context: RequestContext, @PathId('transaction') id: bigint) {
    const [posting] = await this.queries.execute(new GetTransactionsQuery(context, [id]));
    if (!posting) throw notFound('transaction');
    return transactionBody(context.merchantId, posting);
  }

  @Post(':id/post')
  @Documented({
    price: 'posting',
    summary: 'Post a pending transaction, whole or in part',
    status: 201,
    response: transaction,
    requestExample: { amount: '500', final: false },
    problems: [
      'not_found',
      'not_pending',
      'invalid_transition',
      'unbalanced_entries',
      'amount_exceeds_remaining',
      'account_closed',
    ],
    idempotent: true,
  })
  async post(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('transaction') parentId: bigint,
    @Body({ schema: postPending }) body: z.output<typeof postPending>,
  ) {
    const change = {
      kind: 'capture',
      parentId,
      ...partOf(body),
      final: body?.final ?? true,
      ...factsOf(body),
    } as const;
    return answerWith(
      reply,
      context,
      await this.commands.execute(new ChangeTransactionCommand(context, change, idempotencyOf(request))),
    );
  }

  @Post(':id/void')
  @Documented({
    price: 'posting',
    summary: 'Void what a pending transaction still holds',
    status: 201,
    response: transaction,
    requestExample: { description: 'The order was cancelled' },
    problems: ['not_found', 'not_pending', 'invalid_transition'],
    idempotent: true,
  })
  async void(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('transaction') parentId: bigint,
    @Body({ schema: voidPending }) body: z.output<typeof voidPending>,
  ) {
    const change = { kind: 'void', parentId, ...factsOf(body) } as const;
    return answerWith(
      reply,
      context,
      await this.commands.execute(new ChangeTransactionCommand(context, change, idempotencyOf(request))),
    );
  }

  @Post(':id/reverse')
  @Documented({
    price: 'posting',
    summary: 'Reverse a posted transaction, whole or in part, never more than once in total',
    status: 201,
    response: transaction,
    requestExample: { amount: '500' },
    problems: [
      'forbidden',
      'not_found',
      'already_reversed',
      'invalid_transition',
      'unbalanced_entries',
      'amount_exceeds_remaining',
      'insufficient_funds',
      'account_closed',
    ],
    idempotent: true,
  })
  async reverse(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('transaction') parentId: bigint,
    @Body({ schema: reverseTransaction }) body: z.output<typeof reverseTransaction>,
  ) {
    const change = {
      kind: 'reverse',
      parentId,
      ...partOf(body),
      ignoreFloor: ignoreFloorOf(body, byOperator(request)),
      ...factsOf(body),
    } as const;
    return answerWith(
      reply,
      context,
      await this.commands.execute(new ChangeTransactionCommand(context, change, idempotencyOf(request))),
    );
  }
}

/** Whether an operator asks, for the merchant. */
function byOperator(request: FastifyRequest): boolean {
  return request.state?.operator !== undefined;
}

/** The transaction, or the refusal as it was first told. */
function answerWith(reply: FastifyReply, context: RequestContext, answer: PostingReply, isDryRun = false) {
  const { result, replayed } = answer;
  if (replayed) reply.header('Idempotent-Replayed', 'true');
  if ('refusal' in result) return refuse(reply, result.refusal);
  reply.status(isDryRun ? 200 : 201);
  if (!isDryRun) nameOn(context.span, [result]);
  const body = transactionBody(context.merchantId, result.posting);
  return isDryRun ? { ...body, id: null, dry_run: true } : body;
}

/** With the ids of what it posted on the request's own span, its trace is found by them. */
function nameOn(span: Span, results: readonly PostingResult[]): void {
  if (!span.isRecording()) return;
  const ids = results.flatMap((result) => ('posting' in result ? [String(result.posting.transaction.id)] : []));
  if (ids.length > 0) span.setAttribute('counterfoil.transaction_id', ids);
}
