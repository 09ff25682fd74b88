import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { MerchantLog, NewEvent } from '#outbox/log/append.js';
import type { EventData } from '#outbox/log/catalogue.js';

/** What a statement says of breaks that it has opened and ended: JSON, lists of what the events tell. */
export interface ToldBreaks {
  readonly opened: string | null;
  readonly ended: string | null;
}

type Opened = EventData<'break.opened'>;
type Ended = EventData<'break.resolved'>;

/** Tells the log of breaks that there really are now, and of those that are over. `nowMs`: when these ended. */
export async function tellBreaks(
  log: MerchantLog,
  told: ToldBreaks,
  traceContext: string | undefined,
  nowMs: number,
): Promise<void> {
  const opened = (JSON.parse(told.opened ?? '[]') as Opened[]).map((data): NewEvent => {
    return { type: 'break.opened', data, occurredAtMs: snowflakeTimeMs(BigInt(data.break_id)), traceContext };
  });
  const ended = (JSON.parse(told.ended ?? '[]') as Ended[]).map((data): NewEvent => {
    return { type: 'break.resolved', data, occurredAtMs: nowMs, traceContext };
  });
  if (opened.length + ended.length > 0) await log.append(...opened, ...ended);
}
