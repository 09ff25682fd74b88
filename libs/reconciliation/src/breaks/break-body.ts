import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { type Account, type Balance, totalsBody } from '#ledger/accounts/account.js';
import type { BreakRow, Comment, Proposal, Resolution } from './break-row.js';

const DAY_MS = 86_400_000;

/** A break as clients are shown it, and as it is kept with an Idempotency-Key. */
export function breakBody(row: BreakRow, nowMs: number) {
  const { merchant_id: _, item: _item, row_source: _source, row_identity: _identity, ...shown } = row;
  const createdAtMs = snowflakeTimeMs(BigInt(row.id));
  const untilMs = row.resolution ? Date.parse(row.resolution.at) : nowMs;
  return {
    ...shown,
    age_days: Math.max(0, Math.floor((untilMs - createdAtMs) / DAY_MS)),
    candidates: row.candidates ?? [],
    comments: row.comments.map(commentBody),
    proposal: row.proposal && proposalBody(row.proposal),
    resolution: row.resolution && resolutionBody(row.resolution),
    created_at: isoTime(createdAtMs),
  };
}

export type BreakBody = ReturnType<typeof breakBody>;

/** What whoever approved it is answered: with each account that money moved on, as it was then. */
export function approvedBody(
  row: BreakRow,
  nowMs: number,
  accounts: ReadonlyMap<bigint, Account>,
  touched: ReadonlyMap<bigint, Balance>,
) {
  const balances = [...touched].map(([id, balance]) => {
    const side = accounts.get(id)?.normalSide;
    if (!side) throw new Error(`a break posted on account ${id}, which is not there`);
    return { account_id: String(id), version: String(balance.version), ...totalsBody(side, balance) };
  });
  return { ...breakBody(row, nowMs), balances };
}

function commentBody({ rejected_proposal, withdrawn_proposal, ...shown }: Comment) {
  return {
    ...shown,
    ...(rejected_proposal && { rejected_proposal: proposalBody(rejected_proposal) }),
    ...(withdrawn_proposal && { withdrawn_proposal: proposalBody(withdrawn_proposal) }),
  };
}

function proposalBody({ responsible: _, ...shown }: Proposal) {
  return shown;
}

function resolutionBody({ proposal, dropped_proposal, ...shown }: Resolution) {
  return {
    ...shown,
    ...(proposal && { proposal: proposalBody(proposal) }),
    ...(dropped_proposal && { dropped_proposal: proposalBody(dropped_proposal) }),
  };
}
