import { textArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import { ENDED_JSON, endedAs } from '../matching/breaks.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { AFTER, type FoundBreak, openFound } from './open-found.js';

/** What a bank says of a statement as a whole. Minor units as text; a balance that it does not have is null. */
interface StatementFacts {
  readonly id: string;
  readonly account: string;
  readonly currency: string;
  readonly opening?: string | null;
  readonly closing?: string | null;
  readonly entries: string;
}

/** $1 merchant, $2 report, $3 ids and $4 fingerprints of statements that add up. Of those that they correct. */
const END_CORRECTED = `
WITH corrected AS MATERIALIZED (
  SELECT b.id FROM unnest($3::text[], $4::text[]) AS s (reference, fingerprint)
   CROSS JOIN LATERAL (SELECT id, fingerprint FROM breaks
                        WHERE merchant_id = $1 AND reference = s.reference AND kind = 'payout_mismatch' AND resolution IS NULL OFFSET 0) b
   WHERE b.fingerprint = s.fingerprint OR starts_with(b.fingerprint, s.fingerprint || '${AFTER}')
), ended AS (
  UPDATE breaks b SET ${endedAs("'A statement of the same account and id adds up.'", `'reconciliation_id', $2::bigint::text`)}
   WHERE b.merchant_id = $1 AND b.id = ANY (ARRAY(SELECT id FROM corrected)) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)
SELECT NULL::json AS opened, (SELECT json_agg(break ORDER BY id) FROM ended) AS ended`;

/** Opening balance and entries are the closing balance, or the statement lacks something. */
export async function checkStatements(
  matching: Matching,
  report: MatchedReport,
  deadline: () => Deadline,
): Promise<void> {
  const { merchantId, id, source } = report;
  const { database } = matching;
  const [row] = await database.read<{ statements: string | null }>({ merchantIds: [merchantId] }, deadline(), {
    text: 'SELECT statements FROM reconciliations WHERE merchant_id = $1 AND id = $2',
    values: [merchantId, id],
  });
  const told = JSON.parse(row?.statements ?? '[]') as StatementFacts[];
  // Of several of one account and id the last counts.
  const last = new Map(told.map((statement) => [fingerprintOf(source, statement), statement]));
  const statements = [...last].map(([fingerprint, statement]) => ({ fingerprint, statement, lack: lackOf(statement) }));
  const whole = statements.filter(({ lack }) => lack === 0n);
  if (whole.length > 0) {
    const ids = textArray(whole.map(({ statement }) => statement.id));
    const values = [merchantId, id, ids, textArray(whole.map(({ fingerprint }) => fingerprint))];
    await behindLock(database, report, { text: END_CORRECTED, values }, deadline());
  }
  const found = statements.flatMap(({ statement, lack, fingerprint }) => {
    return lack === undefined || lack === 0n ? [] : [mismatchOf(statement, lack, fingerprint)];
  });
  await openFound(matching, report, found, deadline);
}

/** By how much it does not add up; undefined: it does not say. */
function lackOf({ opening, closing, entries }: StatementFacts): bigint | undefined {
  if (opening === undefined || opening === null || closing === undefined || closing === null) return undefined;
  return BigInt(closing) - BigInt(opening) - BigInt(entries);
}

function fingerprintOf(source: string, { account, id }: StatementFacts): string {
  return `payout_mismatch/${source}/statement/${account}/${id}`.slice(0, 650);
}

function mismatchOf({ id, currency, closing, ...of }: StatementFacts, lack: bigint, fingerprint: string): FoundBreak {
  const side = { fee: null, currency, occurred_at: null };
  return {
    fingerprint,
    kind: 'payout_mismatch',
    reference: id,
    object_ref: null,
    item: null,
    expected: { amount: String(BigInt(of.opening ?? 0) + BigInt(of.entries)), ...side },
    actual: { amount: closing, ...side },
    difference: String(lack),
    currency,
    detail: 'The opening balance and the entries of the statement do not come to its closing balance.',
  };
}
