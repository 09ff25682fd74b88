import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';

/** `destination`: of payouts that name none. Null: each has to name its own. */
export type PayoutSchedule =
  | { readonly schedule: 'manual'; readonly destination: string | null }
  | { readonly schedule: 'daily'; readonly destination: string };

/** Undefined: by hand, as nobody has said otherwise. */
export async function findSchedule(
  database: Database,
  merchantId: bigint,
  deadline: Deadline,
): Promise<PayoutSchedule | undefined> {
  const [row] = await database.read<PayoutSchedule>({ merchantIds: [merchantId] }, deadline, {
    name: 'find-payout-schedule',
    text: 'SELECT schedule, destination FROM payout_schedules WHERE merchant_id = $1',
    values: [merchantId],
  });
  return row;
}

/** Throws `not_found`. Undefined: by hand. */
export class GetPayoutScheduleQuery extends Query<PayoutSchedule | undefined> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetPayoutScheduleQuery)
export class GetPayoutScheduleHandler implements IQueryHandler<GetPayoutScheduleQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, merchantId }: GetPayoutScheduleQuery): Promise<PayoutSchedule | undefined> {
    const [row] = await this.database.read<PayoutSchedule | { schedule: null }>(
      { merchantIds: [merchantId] },
      context.deadline,
      {
        text: `SELECT s.schedule, s.destination FROM merchants m LEFT JOIN payout_schedules s ON s.merchant_id = m.id WHERE m.id = $1`,
        values: [merchantId],
      },
    );
    if (!row) throw notFound('merchant');
    return row.schedule === null ? undefined : row;
  }
}

/** What a payout was asked for before stays as it is. Throws `not_found`. */
export class SetPayoutScheduleCommand extends Command<void> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
    readonly schedule: PayoutSchedule,
  ) {
    super();
  }
}

const SET = `
INSERT INTO payout_schedules (merchant_id, schedule, destination) SELECT id, $2, $3 FROM merchants WHERE id = $1
    ON CONFLICT (merchant_id) DO UPDATE SET schedule = excluded.schedule, destination = excluded.destination, changed_at = now()
RETURNING merchant_id`;

@CommandHandler(SetPayoutScheduleCommand)
export class SetPayoutScheduleHandler implements ICommandHandler<SetPayoutScheduleCommand> {
  constructor(private readonly database: Database) {}

  async execute({ context, merchantId, schedule }: SetPayoutScheduleCommand): Promise<void> {
    const set = await this.database.write({ merchantIds: [merchantId] }, context.deadline, {
      text: SET,
      values: [merchantId, schedule.schedule, schedule.destination],
    });
    if (set.length === 0) throw notFound('merchant');
  }
}
