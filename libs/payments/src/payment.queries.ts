import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Found } from '#platform/search.js';
import { type PaymentBody, paymentBody, timelineBody } from './payment-body.js';
import { getPayment, listPayments, type PaymentPage } from './payment-store.js';

export type PaymentWithTimeline = PaymentBody & { timeline: ReturnType<typeof timelineBody> };

/** A payment with all that is known of it. Throws `not_found`. */
export class GetPaymentQuery extends Query<PaymentWithTimeline> {
  constructor(
    readonly context: RequestContext,
    readonly paymentId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetPaymentQuery)
export class GetPaymentHandler implements IQueryHandler<GetPaymentQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, paymentId }: GetPaymentQuery): Promise<PaymentWithTimeline> {
    const found = await getPayment(this.database, context.merchantId, paymentId, context.deadline);
    if (!found) throw notFound('payment');
    return { ...paymentBody(found.row), timeline: timelineBody(found.facts) };
  }
}

export class ListPaymentsQuery extends Query<Found<PaymentBody>> {
  constructor(
    readonly context: RequestContext,
    readonly page: PaymentPage,
  ) {
    super();
  }
}

@QueryHandler(ListPaymentsQuery)
export class ListPaymentsHandler implements IQueryHandler<ListPaymentsQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, page }: ListPaymentsQuery): Promise<Found<PaymentBody>> {
    const found = await listPayments(this.database, context, page);
    return { ...found, rows: found.rows.map(paymentBody) };
  }
}
