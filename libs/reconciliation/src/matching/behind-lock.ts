import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { MerchantLog, type NewEvent } from '#outbox/log/append.js';
import type { EventData } from '#outbox/log/catalogue.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, Query } from '#platform/postgres.js';
import { inTurn } from './turn.js';

/** What a statement says of breaks that it has opened and ended: JSON, lists of what the events tell. */
interface ToldBreaks {
  readonly opened: string | null;
  readonly ended: string | null;
}

interface Of {
  readonly merchantId: bigint;
  readonly traceContext?: string | undefined;
}

/**
 * Opens and ends breaks: behind the merchant's lock, as they are told to its log, and in its turn. Only breaks that there really are now are
 * told of, and only those that ended by this.
 */
export async function behindLock(database: Database, of: Of, statement: Query, deadline: Deadline): Promise<void> {
  const { merchantId, traceContext } = of;
  await database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
    const log = await MerchantLog.lock(client, merchantId);
    const told = await inTurn<ToldBreaks>(client, merchantId, statement);
    const events = eventsOf(told, traceContext, Date.now());
    if (events.length > 0) await log.append(...events);
  });
}

function eventsOf({ opened, ended }: ToldBreaks, traceContext: string | undefined, nowMs: number): NewEvent[] {
  const openings = JSON.parse(opened ?? '[]') as EventData<'break.opened'>[];
  const endings = JSON.parse(ended ?? '[]') as EventData<'break.resolved'>[];
  return [
    ...openings.map((data): NewEvent => {
      return { type: 'break.opened', data, occurredAtMs: snowflakeTimeMs(BigInt(data.break_id)), traceContext };
    }),
    ...endings.map((data): NewEvent => ({ type: 'break.resolved', data, occurredAtMs: nowMs, traceContext })),
  ];
}
