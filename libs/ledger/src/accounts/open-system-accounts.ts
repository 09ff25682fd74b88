import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { MerchantLog } from '#outbox/log/append.js';
import { textArray } from '#platform/binary-array.js';
import type { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { traceparentOf } from '#platform/tracing.js';
import { insertAccounts } from './account-store.js';
import { systemAccounts } from './system-accounts.js';

const TAKEN = 'SELECT code FROM accounts WHERE merchant_id = $1 AND code = ANY ($2::text[])';

/** Opens the system accounts in a currency that a merchant of an earlier release lacks. Behind the merchant's lock: nobody else does. */
export async function openSystemAccounts(
  { database, ids }: { database: Database; ids: SnowflakeGenerator },
  { merchantId, deadline, span }: RequestContext,
  currency: string,
): Promise<void> {
  const wanted = systemAccounts([currency], () => ids.next());
  await database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
    const log = await MerchantLog.lock(client, merchantId);
    const values = [merchantId, textArray(wanted.map(({ code }) => code))];
    const { rows } = await client.query<{ code: string }>({ text: TAKEN, values });
    const taken = new Set(rows.map(({ code }) => code));
    const missing = wanted.filter(({ code }) => !taken.has(code));
    if (missing.length > 0) await insertAccounts(client, log, missing, traceparentOf(span));
  });
}
