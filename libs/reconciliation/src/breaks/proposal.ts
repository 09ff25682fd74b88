import { MAX_AMOUNT } from '#kernel/money.js';
import { MAX_ENTRIES, MIN_ENTRIES, type Refused } from '#ledger/posting/command.js';
import { findUnbalanced, refuse } from '#ledger/posting/entries.js';
import type { Answer } from '#ledger/writing/group-extension.js';
import { type BreakPart, type BreakTurn, itemKey, type Propose, type ReportedRow } from './break-part.js';
import type { BreakRow, Proposal, ProposedEntry } from './break-row.js';
import { changed } from './changed.js';
import { momentOf } from './moment.js';

/** A maker's word on how a break should end. What could not be carried out is refused now rather than when it is approved. */
export function propose(
  part: BreakPart,
  ask: Propose,
  found: { break: BreakRow; row: ReportedRow | null },
  turn: BreakTurn,
): Answer | Refused {
  const refusal = refusalOf(part, ask, found, turn);
  if (refusal) return refusal;
  const { id, by, key_id, at } = momentOf(part.operator, turn);
  const proposal: Proposal = {
    id,
    action: ask.what,
    entries: ask.what === 'post' ? ask.entries : null,
    candidates: ask.what === 'match' ? ask.candidates : null,
    reason: ask.reason,
    by,
    key_id,
    responsible: part.operator.responsible,
    at,
  };
  return changed({ ...found.break, status: 'proposed', proposal }, turn);
}

function refusalOf(
  part: BreakPart,
  ask: Propose,
  { break: row, row: reported }: { break: BreakRow; row: ReportedRow | null },
  turn: BreakTurn,
): Refused | undefined {
  if (ask.what === 'post') return entriesRefusal(ask.entries, part, turn);
  if (ask.what === 'write_off') return undefined;
  return unknownCandidate(ask.candidates, row, part.offered ?? [], turn) ?? matchRefusal(reported, part.items, turn);
}

/** All that the ledger says of entries but for floors: those are respected when they are posted. */
function entriesRefusal(
  entries: readonly ProposedEntry[],
  { accounts }: BreakPart,
  turn: BreakTurn,
): Refused | undefined {
  if (entries.length < MIN_ENTRIES || entries.length > MAX_ENTRIES) {
    return refuse('validation_failed', `must have ${MIN_ENTRIES} to ${MAX_ENTRIES} entries`, 'entries');
  }
  for (const [index, entry] of entries.entries()) {
    const account = accounts.get(BigInt(entry.account_id));
    const balance = account && turn.balance(account.id);
    const path = `entries.${index}`;
    if (!account || !balance) return refuse('not_found', `${path}: there is no such account.`, path);
    if (account.currency !== entry.currency) {
      const detail = `${path}: account ${account.code} is in ${account.currency}, not ${entry.currency}.`;
      return refuse('currency_mismatch', detail, `${path}.currency`);
    }
    if (BigInt(entry.amount) > MAX_AMOUNT) {
      const detail = `${path}: the amount for account ${account.code} is above ${MAX_AMOUNT}.`;
      return refuse('amount_out_of_range', detail, `${path}.amount`);
    }
    if (balance.closed) return refuse('account_closed', `${path}: account ${account.code} is closed.`, path);
  }
  return findUnbalanced(entries.map(({ amount, ...entry }) => ({ ...entry, amount: BigInt(amount) })));
}

/** What is matched by hand was found to be a candidate, is an item of a payment that was, or is held by another break that is open. Never anything else. */
function unknownCandidate(
  candidates: readonly string[],
  row: BreakRow,
  offered: readonly string[],
  turn: BreakTurn,
): Refused | undefined {
  const index = candidates.findIndex((item) => {
    if (offered.includes(item)) return false;
    if (row.candidates?.some((candidate) => candidate.item === item) || item === row.item) return false;
    const state = turn.known(itemKey(item));
    return !(state && 'holders' in state && state.holders.length > 0);
  });
  if (index === -1) return undefined;
  return refuse(
    'validation_failed',
    `candidates.${index}: is neither a candidate of the break nor held by another one that is open`,
    `candidates.${index}`,
  );
}

/** A match has a row and at least one item, none of them in another match. */
export function matchRefusal(row: ReportedRow | null, items: readonly string[], turn: BreakTurn): Refused | undefined {
  if (!row) return refuse('validation_failed', 'action: the break has no row of a report to be matched', 'action');
  if (items.length === 0) return refuse('validation_failed', 'candidates: must name at least one item', 'candidates');
  if (row.is_matched) return refuse('invalid_transition', 'The row has been matched in the meantime.');
  const taken = items.find((item) => {
    const state = turn.known(itemKey(item));
    return state && 'is_matched' in state && state.is_matched;
  });
  if (taken === undefined) return undefined;
  return refuse('invalid_transition', `The item ${taken} has been matched in the meantime.`);
}
