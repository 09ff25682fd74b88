import type { Deadline } from '#platform/deadline.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { type FoundBreak, openFound } from './open-found.js';

/** What a bank says of a statement as a whole. Minor units as text; a balance that it does not have is null. */
interface StatementFacts {
  readonly id: string;
  readonly account: string;
  readonly currency: string;
  readonly opening?: string | null;
  readonly closing?: string | null;
  readonly entries: string;
}

/** Opening balance and entries are the closing balance, or the statement lacks something. */
export async function checkStatements(
  matching: Matching,
  report: MatchedReport,
  deadline: () => Deadline,
): Promise<void> {
  const { merchantId, id, source } = report;
  const [row] = await matching.database.read<{ statements: string | null }>({ merchantIds: [merchantId] }, deadline(), {
    text: 'SELECT statements FROM reconciliations WHERE merchant_id = $1 AND id = $2',
    values: [merchantId, id],
  });
  const statements = JSON.parse(row?.statements ?? '[]') as StatementFacts[];
  await openFound(
    matching,
    report,
    statements.flatMap((statement) => mismatchOf(source, statement)),
    deadline,
  );
}

function mismatchOf(
  source: string,
  { id, account, currency, opening, closing, entries }: StatementFacts,
): FoundBreak[] {
  if (opening === undefined || opening === null || closing === undefined || closing === null) return [];
  const computed = BigInt(opening) + BigInt(entries);
  const difference = BigInt(closing) - computed;
  if (difference === 0n) return [];
  const side = { fee: null, currency, occurred_at: null };
  return [
    {
      fingerprint: `payout_mismatch/${source}/statement/${account}/${id}`.slice(0, 700),
      kind: 'payout_mismatch',
      reference: id,
      object_ref: null,
      item: null,
      expected: { amount: String(computed), ...side },
      actual: { amount: closing, ...side },
      difference: String(difference),
      currency,
      detail: 'The opening balance and the entries of the statement do not come to its closing balance.',
    },
  ];
}
