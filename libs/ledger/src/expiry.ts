import { CommandBus } from '@nestjs/cqrs';
import { int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { endSpan, spanTime, tracer } from '#platform/tracing.js';
import { merchantPages } from './merchant-pages.js';
import { MoveTransactionCommand } from './move-transaction.command.js';

/** Holds expired in one go per page of merchants; what is left is found by the next round. */
const BATCH = 200;
const ROUND_DEADLINE_MS = 10_000;

/** $1 merchants, $2 limit: one short range of transaction_states_due a merchant. */
const DUE_HOLDS = `
SELECT m.id AS merchant_id, due.transaction_id FROM unnest($1::bigint[]) AS m (id)
  CROSS JOIN LATERAL (SELECT transaction_id FROM transaction_states
                       WHERE merchant_id = m.id AND expires_at <= now() AND remaining > 0
                       ORDER BY expires_at LIMIT $2) due
 LIMIT $2`;

/**
 * Expires holds whose time has passed, through the same writer as every posting. Safe to run in any number of processes:
 * the second one to reach a hold is refused with `not_pending`. Answers how many expired here.
 */
export async function expireDueHolds(database: Database, commands: CommandBus): Promise<number> {
  let expired = 0;
  const deadline = (): Deadline => Deadline.after(ROUND_DEADLINE_MS);
  for await (const merchantIds of merchantPages(database, deadline)) {
    const due = await database.read<{ merchant_id: bigint; transaction_id: bigint }>({ merchantIds }, deadline(), {
      name: 'due-holds',
      text: DUE_HOLDS,
      values: [int8Array(merchantIds), BATCH],
    });
    const results = await Promise.allSettled(
      due.map(async (hold) => {
        const span = tracer.startSpan('expire hold', { root: true, startTime: spanTime() });
        try {
          const context = { merchantId: hold.merchant_id, deadline: deadline(), span };
          const move = { kind: 'expire', parentId: hold.transaction_id } as const;
          const { result } = await commands.execute(new MoveTransactionCommand(context, move, undefined));
          return 'posting' in result;
        } finally {
          endSpan(span);
        }
      }),
    );
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason;
      if (result.value) expired += 1;
    }
  }
  return expired;
}
