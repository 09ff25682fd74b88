import type { Refused } from '#ledger/posting/command.js';
import { type BreakTurn, breakKey, itemKey, type ReportedRow } from './break-part.js';
import type { BreakRow } from './break-row.js';
import { end } from './changed.js';
import type { Moment } from './moment.js';
import { matchRefusal } from './proposal.js';

/**
 * Makes a match of the break's row and the items, and ends other breaks that held these. Refused where one of them is in a match by now.
 * An item may be matched at this very moment by who does not wait for the merchant's lock: its primary key refuses one of both, and this
 * group, tried again, finds it matched.
 */
export function matchByHand(
  row: BreakRow,
  reported: ReportedRow | null,
  { items, moment }: { items: readonly string[]; moment: Moment },
  turn: BreakTurn,
): Refused | undefined {
  const refusal = matchRefusal(reported, items, turn);
  if (refusal || !reported) return refusal;
  const { reconciliation_id, line } = reported;
  turn.write({ table: 'report_rows', merchantId: turn.merchantId, row: reported });
  turn.learn(breakKey(row.id), { break: row, row: { ...reported, is_matched: true } });
  for (const item of items) {
    const match = { match_reconciliation_id: reconciliation_id, match_line: line };
    turn.write({ table: 'reconciled_items', row: { merchant_id: row.merchant_id, item, ...match } });
    for (const holder of holdersOf(item, turn))
      if (holder.id !== row.id) endHolder(holder, row, reported, moment, turn);
    turn.learn(itemKey(item), { is_matched: true, holders: [] });
  }
  return undefined;
}

/** As earlier commands of the group have left them. */
function holdersOf(item: string, turn: BreakTurn): BreakRow[] {
  const state = turn.known(itemKey(item));
  if (!state || !('holders' in state)) return [];
  return state.holders
    .map((holder) => {
      const known = turn.known(breakKey(holder.id));
      return known && 'break' in known ? known.break : holder;
    })
    .filter((holder) => holder.resolution === null);
}

function endHolder(holder: BreakRow, of: BreakRow, reported: ReportedRow, { at }: Moment, turn: BreakTurn): void {
  const { source, line, reconciliation_id } = reported;
  const resolution = {
    by: null,
    approved_by: null,
    transaction_id: null,
    reason: `Matched by hand with break ${of.id}.`,
    at,
    row: { source, line: Number(line), reconciliation_id },
    dropped_proposal: holder.proposal,
  };
  end(holder, 'auto_resolved', resolution, turn);
}
