import { CommandBus } from '@nestjs/cqrs';
import { LedgerError } from '#kernel/problem.js';
import { int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { inSpan, spanTime, tracer } from '#platform/tracing.js';
import { FailedExpiries } from './failed-expiries.js';
import { merchantPages } from './merchant-pages.js';
import { MoveTransactionCommand } from './move-transaction.command.js';

/** Holds expired in one go per page of merchants; what is left is found by the next round. */
const BATCH = 200;
const ROUND_DEADLINE_MS = 10_000;

/** $1 merchants, $2 limit, $3 holds left out: one short range of transaction_states_due a merchant. They take turns, oldest first. */
const DUE_HOLDS = `
SELECT due.merchant_id, due.transaction_id FROM unnest($1::bigint[]) AS m (id)
  CROSS JOIN LATERAL (SELECT merchant_id, transaction_id, expires_at, row_number() OVER (ORDER BY expires_at) AS turn
                        FROM transaction_states
                       WHERE merchant_id = m.id AND expires_at <= now() AND remaining > 0 AND transaction_id <> ALL ($3::bigint[])
                       ORDER BY expires_at LIMIT $2) due
 ORDER BY due.turn, due.expires_at LIMIT $2`;

interface Hold {
  merchantId: bigint;
  transactionId: bigint;
}

/**
 * Expires holds whose time has passed, through the same writer as every posting. Safe to run in any number of processes:
 * the second one to reach a hold is refused with `not_pending`. A hold that fails costs nobody else's; `failures` remembers
 * it for later rounds. Answers how many expired here; throws at the end of the round when the database was away.
 */
export async function expireDueHolds(
  database: Database,
  commands: CommandBus,
  failures: FailedExpiries = new FailedExpiries(),
): Promise<number> {
  let expired = 0;
  let away: unknown;
  for await (const merchantIds of merchantPages(database, deadline)) {
    const due = await dueHolds(database, merchantIds, failures.waiting());
    const results = await Promise.allSettled(due.map((hold) => expire(commands, hold)));
    for (const [index, result] of results.entries()) {
      const hold = due[index] as Hold;
      if (result.status === 'fulfilled') {
        failures.remove(hold.transactionId);
        if (result.value) expired += 1;
      } else if (isAway(result.reason)) away ??= result.reason;
      else failures.add(hold, result.reason);
    }
  }
  if (away) throw away;
  return expired;
}

async function dueHolds(
  database: Database,
  merchantIds: readonly bigint[],
  leftOut: readonly bigint[],
): Promise<Hold[]> {
  const rows = await database.read<{ merchant_id: bigint; transaction_id: bigint }>({ merchantIds }, deadline(), {
    name: 'due-holds',
    text: DUE_HOLDS,
    values: [int8Array(merchantIds), BATCH, int8Array(leftOut)],
  });
  return rows.map((row) => ({ merchantId: row.merchant_id, transactionId: row.transaction_id }));
}

/** False: another process was first, or this one's clock is behind PostgreSQL's. Throws any other refusal. */
function expire(commands: CommandBus, { merchantId, transactionId }: Hold): Promise<boolean> {
  const span = tracer.startSpan('expire hold', { root: true, startTime: spanTime() });
  return inSpan(span, async () => {
    const move = { kind: 'expire', parentId: transactionId } as const;
    const context = { merchantId, deadline: deadline(), span };
    const { result } = await commands.execute(new MoveTransactionCommand(context, move, undefined));
    if ('posting' in result) return true;
    const { code, detail } = result.refusal;
    if (code === 'not_pending' || code === 'invalid_transition') return false;
    throw new LedgerError(code, detail);
  });
}

/** Says nothing about the hold. */
function isAway(error: unknown): boolean {
  return error instanceof LedgerError && error.code === 'database_unavailable';
}

function deadline(): Deadline {
  return Deadline.after(ROUND_DEADLINE_MS);
}
