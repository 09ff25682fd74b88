import { Body, Controller, Get, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { ChangePaymentCommand, OpenPaymentCommand, type PaymentReply } from '#payments/payment.commands.js';
import { GetPaymentQuery, ListPaymentsQuery } from '#payments/payment.queries.js';
import { cursorScope } from '#platform/cursor.js';
import type { RequestContext } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { idempotencyOf, refuse } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentContext, PathId } from '../request.js';
import { noFields } from '../schemas.js';
import {
  capturePayment,
  changedPayment,
  listPaymentsQuery,
  newPaymentOf,
  openPayment,
  paymentList,
  paymentWithTimeline,
  refundPayment,
} from './schemas.js';

const CHANGE_REFUSES = ['not_found', 'invalid_transition', 'amount_exceeds_remaining', 'amount_out_of_range'] as const;

@Controller('v1/payments')
export class PaymentsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Post()
  @Documented({
    price: 'payment',
    summary: 'Open a payment',
    description:
      'With the `provider_ref` of a payment that its provider has told of already, it becomes that payment’s: once, after that it is `invalid_transition`.',
    status: 201,
    response: changedPayment,
    requestExample: { amount: '12500', currency: 'EUR', capture: 'manual', description: 'Order 6735' },
    problems: ['invalid_transition', 'currency_mismatch', 'amount_out_of_range'],
    idempotent: true,
  })
  async open(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: openPayment }) body: z.output<typeof openPayment>,
  ) {
    const command = new OpenPaymentCommand(context, newPaymentOf(body), idempotencyOf(request));
    return answerWith(reply, await this.commands.execute(command), 201);
  }

  @Get()
  @Documented({ price: 'list', summary: 'List payments, newest first', response: paymentList })
  async list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: listPaymentsQuery }) query: z.output<typeof listPaymentsQuery>,
  ) {
    const { limit, cursor, ...filters } = query;
    const filter = {
      status: filters.status,
      provider: filters.provider,
      providerRef: filters.provider_ref,
      createdFromMs: filters.created_from,
      createdToMs: filters.created_to,
    };
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'payments', filters),
      cursor,
      limit,
      read: (before, count) =>
        this.queries.execute(new ListPaymentsQuery(context, { filter, beforeId: before, limit: count })),
      position: ({ id }) => BigInt(id),
      body: (row) => row,
    });
  }

  @Get(':id')
  @Documented({
    price: 'get',
    summary: 'Get a payment, with all that is known of it',
    response: paymentWithTimeline,
    problems: ['not_found'],
  })
  get(@CurrentContext() context: RequestContext, @PathId('payment') id: bigint) {
    return this.queries.execute(new GetPaymentQuery(context, id));
  }

  @Post(':id/capture')
  @Documented({
    price: 'payment',
    summary: 'Capture what is held, whole or in part',
    response: changedPayment,
    requestExample: { amount: '500', final: false },
    problems: CHANGE_REFUSES,
    idempotent: true,
  })
  async capture(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('payment') id: bigint,
    @Body({ schema: capturePayment }) body: z.output<typeof capturePayment>,
  ) {
    const change = { kind: 'capture', ...amountOf(body), final: body?.final ?? true } as const;
    const command = new ChangePaymentCommand(context, id, change, idempotencyOf(request));
    return answerWith(reply, await this.commands.execute(command), 200);
  }

  @Post(':id/void')
  @Documented({
    price: 'payment',
    summary: 'Give back what is still held',
    response: changedPayment,
    problems: ['not_found', 'invalid_transition'],
    idempotent: true,
  })
  async void(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('payment') id: bigint,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const command = new ChangePaymentCommand(context, id, { kind: 'void' }, idempotencyOf(request));
    return answerWith(reply, await this.commands.execute(command), 200);
  }

  @Post(':id/refund')
  @Documented({
    price: 'payment',
    summary: 'Give captured money back, whole or in part',
    description: 'Never more than was captured and is neither refunded nor disputed.',
    response: changedPayment,
    requestExample: { amount: '500' },
    problems: CHANGE_REFUSES,
    idempotent: true,
  })
  async refund(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('payment') id: bigint,
    @Body({ schema: refundPayment }) body: z.output<typeof refundPayment>,
  ) {
    const command = new ChangePaymentCommand(
      context,
      id,
      { kind: 'refund', ...amountOf(body) },
      idempotencyOf(request),
    );
    return answerWith(reply, await this.commands.execute(command), 200);
  }
}

function amountOf(body: { amount?: bigint | undefined } | undefined): { amount?: bigint } {
  return body?.amount === undefined ? {} : { amount: body.amount };
}

/** The payment as it then was, or the refusal as it was first told. */
function answerWith(reply: FastifyReply, { result, replayed }: PaymentReply, status: number): object {
  if (replayed) reply.header('Idempotent-Replayed', 'true');
  if ('refusal' in result) return refuse(reply, result.refusal);
  reply.status(status);
  return result.answer;
}
