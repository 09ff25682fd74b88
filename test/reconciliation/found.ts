import type { TestMatching } from '../support/matching.js';
import { type Shown, showBreak } from './oracle/shown.js';

/** What PostgreSQL has of the reports of a merchant, in the oracle's words. */
export interface FoundNames {
  /** In their order. */
  readonly reports: readonly bigint[];
  /** By id. */
  readonly payments: ReadonlyMap<string, string>;
}

export async function readFound(on: TestMatching, merchantId: bigint, names: FoundNames): Promise<Shown> {
  const place = (id: unknown) => names.reports.indexOf(BigInt(id as string));
  const keyed = (item: string) => {
    return item.replace(/^payment\/(\d+)\//, (_, id) => `payment/${names.payments.get(id)}/`);
  };
  const all = (from: string) => on.read<Record<string, unknown>>(merchantId, { text: from, values: [merchantId] });
  const rows =
    await all(`SELECT reconciliation_id AS report, line, rule, match_reconciliation_id AS match_report, match_line
                            FROM report_rows WHERE merchant_id = $1`);
  const items = await all(`SELECT item, match_reconciliation_id AS report, match_line AS line
                             FROM reconciled_items WHERE merchant_id = $1`);
  const breaks =
    await all(`SELECT kind, resolution IS NULL AS is_open, reconciliation_id AS report, actual ->> 'line' AS line, item, reference,
                                   difference, candidates::text FROM breaks WHERE merchant_id = $1`);
  const counts = await all(
    `SELECT repeated, expected FROM reconciliations WHERE merchant_id = $1 AND status <> 'failed' ORDER BY id`,
  );
  return {
    rows: rows
      .map(({ report, line, rule, match_report, match_line }) => {
        const told = `${place(report)}:${line}`;
        return rule === null ? told : `${told} ${rule} ${place(match_report)}:${match_line}`;
      })
      .sort(),
    items: items.map(({ item, report, line }) => `${keyed(item as string)} ${place(report)}:${line}`).sort(),
    breaks: breaks
      .map((found) => {
        const candidates: { item?: string; payment_id?: string }[] = JSON.parse((found.candidates as string) ?? '[]');
        return showBreak({
          kind: found.kind as string,
          isOpen: found.is_open as boolean,
          report: place(found.report),
          line: (found.line as number | null) ?? undefined,
          item: found.item === null ? undefined : keyed(found.item as string),
          reference: (found.reference as string | null) ?? undefined,
          difference: (found.difference as bigint | null) ?? undefined,
          candidates: candidates.map(({ item, payment_id = '' }) =>
            item === undefined ? (names.payments.get(payment_id) ?? payment_id) : keyed(item),
          ),
        });
      })
      .sort(),
    counts: counts.map(({ repeated, expected }) => `${repeated} ${expected}`),
  };
}
