import type { Side } from '#ledger/accounts/account.js';
import type { BreakStatus } from './break-status.js';

/** Of one side of a break. Amounts are minor units as decimal text. */
export interface BreakSide {
  readonly amount: string | null;
  readonly fee: string | null;
  readonly currency: string | null;
  readonly occurred_at: string | null;
  /** Of a report. */
  readonly line?: number;
}

/** What a break may be about. */
export interface Candidate {
  readonly item?: string;
  readonly payment_id?: string;
  readonly transaction_id?: string;
  readonly amount?: string;
  readonly proposed?: boolean;
}

export interface Comment {
  readonly text: string;
  readonly by: string;
  /** Of the operator's key; null: the environment's. */
  readonly key_id: string | null;
  readonly at: string;
  readonly rejected_proposal?: Proposal;
  readonly withdrawn_proposal?: Proposal;
}

export interface ProposedEntry {
  readonly account_id: string;
  readonly account_code: string;
  readonly direction: Side;
  readonly amount: string;
  readonly currency: string;
}

export const PROPOSALS = ['post', 'match', 'write_off'] as const;

export interface Proposal {
  readonly id: string;
  readonly action: (typeof PROPOSALS)[number];
  readonly entries: readonly ProposedEntry[] | null;
  /** Items that are to be matched with the break's own row. */
  readonly candidates: readonly string[] | null;
  readonly reason: string;
  readonly by: string;
  readonly key_id: string | null;
  /** Who answers for the key (`Operator`). */
  readonly responsible: string;
  readonly at: string;
}

export interface Resolution {
  /** Who proposed it; null: it came by itself. */
  readonly by: string | null;
  readonly approved_by: string | null;
  readonly transaction_id: string | null;
  readonly reason: string | null;
  readonly at: string;
  /** The row by which it was resolved. */
  readonly row?: { readonly source: string; readonly line: number; readonly reconciliation_id: string };
  /** What was proposed: carried out, or dropped as the other side turned up. */
  readonly proposal?: Proposal;
  readonly approved_key_id?: string | null;
  readonly dropped_proposal?: Proposal | null;
  /** The break that its row has instead. */
  readonly followed_by?: string | null;
}

/** A row of breaks. Numbers above 2^53 are text: JSON.parse would round them. */
export interface BreakRow {
  readonly merchant_id: string;
  readonly id: string;
  readonly reconciliation_id: string;
  readonly kind: string;
  readonly status: BreakStatus;
  readonly reference: string | null;
  readonly object_ref: string | null;
  readonly item: string | null;
  readonly row_source: string | null;
  readonly row_identity: string | null;
  readonly expected: BreakSide | null;
  readonly actual: BreakSide | null;
  readonly difference: string | null;
  readonly currency: string | null;
  readonly detail: string | null;
  readonly candidates: readonly Candidate[] | null;
  readonly assignee: string | null;
  readonly comments: readonly Comment[];
  readonly proposal: Proposal | null;
  readonly resolution: Resolution | null;
}

/** SQL: the row `b` of breaks, as JSON. */
export const BREAK_JSON = `json_build_object('merchant_id', b.merchant_id::text, 'id', b.id::text, 'reconciliation_id', b.reconciliation_id::text,
  'kind', b.kind, 'status', b.status, 'reference', b.reference, 'object_ref', b.object_ref, 'item', b.item, 'row_source', b.row_source,
  'row_identity', b.row_identity, 'expected', b.expected, 'actual', b.actual, 'difference', b.difference::text, 'currency', b.currency,
  'detail', b.detail, 'candidates', b.candidates, 'assignee', b.assignee, 'comments', b.comments, 'proposal', b.proposal,
  'resolution', b.resolution)`;
