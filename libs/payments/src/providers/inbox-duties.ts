import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import { type DueKind, DueWork } from '#platform/due-work.js';
import type { Logger } from '#platform/logging.js';
import { merchantPages } from '#platform/merchant-pages.js';
import type { Database } from '#platform/postgres.js';
import { boundsIn } from '#platform/request-context.js';
import { inSpan, startFrom } from '#platform/tracing.js';
import type { Inbox } from './inbox.js';
import { findReceived, PROVIDER_INBOX, purgeBatch } from './inbox-store.js';

const BATCH = 1_000;
const BATCH_DEADLINE_MS = 30_000;

/** Applies what was received and not applied at once: its process died, or the ledger was busy or away. */
export function inboxWork(database: Database, inbox: Inbox, logger?: Logger): DueWork {
  const kind: DueKind = {
    name: PROVIDER_INBOX,
    async run({ merchantId, subjectId: id }, deadline) {
      const row = await findReceived(database, { merchantId, id }, deadline);
      if (!row) return 'done';
      const attributes = { 'counterfoil.merchant_id': String(merchantId), 'counterfoil.provider': row.provider };
      const span = startFrom(row.traceContext, 'apply provider inbox', { attributes });
      await inSpan(span, () => inbox.apply(row, boundsIn(span, deadline)));
      return 'done';
    },
  };
  return new DueWork(database, kind, logger);
}

/** Forgets what was settled and received longer than `retentionMs` ago. Returns how much. */
export async function purgeInbox(database: Database, retentionMs: number, nowMs: number): Promise<number> {
  const before = firstSnowflakeAt(nowMs - retentionMs);
  let purged = 0;
  for await (const merchantIds of merchantPages(database, newDeadline)) {
    for (let rows = BATCH; rows === BATCH; ) {
      rows = await purgeBatch(database, merchantIds, { before, batch: BATCH }, newDeadline());
      purged += rows;
    }
  }
  return purged;
}

function newDeadline(): Deadline {
  return Deadline.after(BATCH_DEADLINE_MS);
}
