import type { Accepted, Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import type { Answer } from '#ledger/writing/group-extension.js';
import { isSameOperator, type Operator } from '#tenancy/operator.js';
import { ADJUSTMENT_TYPE } from './adjustment-type.js';
import { approvedBody } from './break-body.js';
import type { BreakPart, BreakTurn, ReportedRow } from './break-part.js';
import type { BreakRow, Proposal, Resolution } from './break-row.js';
import { unproposed } from './break-status.js';
import { changed, commented, end } from './changed.js';
import { matchByHand } from './match-by-hand.js';
import { type Moment, momentOf } from './moment.js';

type Found = { break: BreakRow; row: ReportedRow | null };

/** Carries out what was proposed, once, by another operator than proposed it. */
export function approve(
  part: BreakPart,
  proposalId: string | undefined,
  { break: row, row: reported }: Found,
  turn: BreakTurn,
): Answer | Refused {
  const proposal = row.proposal as Proposal;
  const own = refuseOwn(proposal, part.operator, 'approved');
  if (own) return own;
  if (proposal.id !== proposalId) {
    return refuse(
      'invalid_transition',
      'The proposal is another one than a moment ago: look at it before you approve it.',
    );
  }
  const posted = proposal.action === 'post' ? post(row, proposal, turn) : undefined;
  if (posted && !posted.accepted) return staysProposed(posted);
  const moment = momentOf(part.operator, turn);
  const matched =
    proposal.action === 'match' ? matchByHand(row, reported, { items: part.items, moment }, turn) : undefined;
  if (matched) return staysProposed(matched);
  const status = proposal.action === 'write_off' ? 'written_off' : 'resolved';
  const ended = end(row, status, resolutionOf(proposal, moment, posted), turn);
  const body = approvedBody(ended, moment.atMs, part.accounts, posted?.balances ?? new Map());
  return { status: 200, response: JSON.stringify(body) };
}

/** The proposal is kept with what was said to it. */
export function reject(part: BreakPart, reason: string, { break: row }: Found, turn: BreakTurn): Answer | Refused {
  const proposal = row.proposal as Proposal;
  return (
    refuseOwn(proposal, part.operator, 'rejected') ?? dropped(part, reason, { row, as: 'rejected_proposal' }, turn)
  );
}

/** Whoever proposed it takes it back. Kept like a rejection; but one person makes it, so that it is counted with comments. */
export function withdraw(part: BreakPart, reason: string, { break: row }: Found, turn: BreakTurn): Answer | Refused {
  const { by } = row.proposal as Proposal;
  if (!isOwn(row.proposal as Proposal, part.operator)) {
    return refuse('forbidden', `A proposal of ${by} is not withdrawn by ${part.operator.name}: reject it.`);
  }
  return dropped(part, reason, { row, as: 'withdrawn_proposal' }, turn);
}

function dropped(
  { operator }: BreakPart,
  text: string,
  { row, as }: { row: BreakRow; as: 'rejected_proposal' | 'withdrawn_proposal' },
  turn: BreakTurn,
): Answer | Refused {
  const { by, key_id, at } = momentOf(operator, turn);
  const said = commented(row, { text, by, key_id, at, [as]: row.proposal as Proposal });
  if ('accepted' in said) return said;
  return changed({ ...said, status: unproposed(row.assignee), proposal: null }, turn);
}

/** By key, by name (a name may have another key by now), and by whoever answers for the keys. */
function isOwn(proposal: Proposal, { keyId, name, responsible }: Operator): boolean {
  const isSameKey = proposal.key_id === (keyId === null ? null : String(keyId));
  return isSameKey || isSameOperator(proposal.by, name) || isSameOperator(proposal.responsible, responsible);
}

function refuseOwn(proposal: Proposal, operator: Operator, what: string): Refused | undefined {
  if (!isOwn(proposal, operator)) return undefined;
  const { name } = operator;
  return refuse('forbidden', `A proposal of ${proposal.by} is not ${what} by ${name}: it takes another operator.`);
}

function post(row: BreakRow, { entries, reason }: Proposal, turn: BreakTurn): Accepted | Refused {
  return turn.post({
    kind: 'post',
    pending: false,
    type: ADJUSTMENT_TYPE,
    description: reason,
    metadata: JSON.stringify({ break_id: row.id }),
    entries: (entries ?? []).map(({ account_id, direction, amount, currency }) => ({
      accountId: BigInt(account_id),
      direction,
      amount: BigInt(amount),
      currency,
    })),
  });
}

function staysProposed(refused: Refused): Refused {
  return { ...refused, detail: `The break stays proposed. ${refused.detail}` };
}

function resolutionOf(proposal: Proposal, { by, key_id, at }: Moment, posted: Accepted | undefined): Resolution {
  return {
    by: proposal.by,
    approved_by: by,
    approved_key_id: key_id,
    transaction_id: posted ? String(posted.transaction.id) : null,
    reason: proposal.reason,
    at,
    proposal,
  };
}
