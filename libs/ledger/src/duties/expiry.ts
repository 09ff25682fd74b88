import type { CommandBus } from '@nestjs/cqrs';
import { ProblemError } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';
import type { DueRow } from '#platform/due-rows.js';
import { type DueKind, DueWork } from '#platform/due-work.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { boundsIn } from '#platform/request-context.js';
import { inSpan, spanTime, tracer } from '#platform/tracing.js';
import { ChangeTransactionCommand } from '../posting/change-transaction.command.js';
import { HOLD_EXPIRY } from '../writing/group-parameters.js';

/**
 * Expires holds whose time has passed, through the same writer as every posting: the group that ends a hold takes its row away.
 * Safe to run in any number of processes: the second one to reach a hold is refused with `not_pending`.
 */
export function holdExpiry(database: Database, commands: CommandBus, logger?: Logger): DueWork {
  const kind: DueKind = { name: HOLD_EXPIRY, run: (row, deadline) => expire(commands, row, deadline) };
  return new DueWork(database, kind, logger);
}

function expire(
  commands: CommandBus,
  { merchantId, subjectId }: DueRow,
  deadline: Deadline,
): Promise<'done' | 'not yet'> {
  const span = tracer.startSpan('expire hold', { root: true, startTime: spanTime() });
  return inSpan(span, async () => {
    const change = { kind: 'expire', parentId: subjectId } as const;
    const { result } = await commands.execute(
      new ChangeTransactionCommand({ merchantId, ...boundsIn(span, deadline) }, change, undefined),
    );
    if ('posting' in result) return 'done';
    const { code, detail } = result.refusal;
    // Captured or voided meanwhile, or expired by another process.
    if (code === 'not_pending') return 'done';
    // This process's clock is behind PostgreSQL's.
    if (code === 'invalid_transition') return 'not yet';
    throw new ProblemError(code, detail);
  });
}
