import type { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { OutsideCheck } from '#platform/room-hooks.js';
import { type Check, type CheckResult, checkMerchant } from '#platform/verify.js';
import { FINDINGS, type Inspection, ITEM_PREFIX, type PaymentFinding } from './found.js';

export interface Inspectors {
  readonly database: Database;
  readonly logger: Logger;
  /** Those that `npm run verify` runs. */
  readonly checks: readonly Check[];
  readonly outside: () => readonly OutsideCheck[];
  /** Offenders of each. */
  readonly offenders: number;
}

/**
 * $1 merchant, $2 at most. Findings stay with their payments for ever, so that those that people have decided on are left out. The oldest
 * payments first: when there are more, the others follow as these are decided.
 */
const FINDINGS_OPEN = `
SELECT p.id::text AS payment_id, p.provider_ref, f.kind, f.detail
  FROM payments p CROSS JOIN LATERAL json_to_recordset(p.parts -> 'findings') AS f (kind text, detail text)
  LEFT JOIN (SELECT item FROM breaks
              WHERE merchant_id = $1 AND item >= '${ITEM_PREFIX}${FINDINGS}/' AND item < '${ITEM_PREFIX}${FINDINGS}0'
                AND status IN ('resolved', 'written_off')) d ON d.item = '${ITEM_PREFIX}${FINDINGS}/' || f.kind || '/' || p.id
 WHERE p.merchant_id = $1 AND d.item IS NULL ORDER BY p.id, f.kind LIMIT $2`;

/** Of one merchant: its tables as of one moment, and then what is kept outside of them. */
export async function inspect(parts: Inspectors, merchantId: bigint, deadline: Deadline): Promise<Inspection> {
  const { database, checks, outside, offenders } = parts;
  const read = await database.snapshot({ merchantIds: [merchantId] }, deadline, async (client) => {
    const results = await checkMerchant(client, merchantId, checks, () => offenders);
    return { results, findings: await findingsOf(client, merchantId, offenders) };
  });
  const results = [...read.results];
  const incomplete = new Set<string>();
  for (const check of outside()) {
    const result = await look(parts, check, merchantId, deadline);
    if (result) results.push(result);
    else incomplete.add(check.name);
  }
  for (const { name, offenders: found } of results) if (found.length >= offenders) incomplete.add(name);
  if (read.findings.length >= offenders) incomplete.add(FINDINGS);
  return { checks: results, findings: read.findings, incomplete };
}

async function findingsOf(client: TransactionClient, merchantId: bigint, limit: number): Promise<PaymentFinding[]> {
  const query = { text: FINDINGS_OPEN, values: [merchantId, limit] };
  return (await client.query<PaymentFinding & Record<string, unknown>>(query)).rows;
}

/** Redis may be away, and no book is wrong for that. */
async function look(
  { logger, offenders }: Inspectors,
  check: OutsideCheck,
  merchantId: bigint,
  deadline: Deadline,
): Promise<CheckResult | undefined> {
  try {
    return await check.run(merchantId, offenders, deadline);
  } catch (error) {
    logger.warn({ err: error, check: check.name, merchant_id: String(merchantId) }, 'a check could not look');
    return undefined;
  }
}
