import type { Account } from '#ledger/accounts/account.js';
import type { GroupTurn } from '#ledger/writing/group-extension.js';
import type { Operator } from '#tenancy/operator.js';
import type { BreakRow, ProposedEntry } from './break-row.js';

/** What a command of a commit group asks of a break. */
export interface BreakPart {
  readonly breakId: bigint;
  readonly operator: Operator;
  readonly ask: BreakAsk;
  /** Items that are to be matched, the break's own among them. */
  readonly items: readonly string[];
  readonly accounts: ReadonlyMap<bigint, Account>;
  /** Items of the payments between which the break is. */
  readonly offered?: readonly string[];
}

export type BreakAsk =
  | { readonly action: 'assign'; readonly to: string }
  | { readonly action: 'comment'; readonly text: string }
  | Propose
  /** The proposal that the checker was shown. */
  | { readonly action: 'approve'; readonly proposalId: string | undefined }
  | { readonly action: 'reject' | 'withdraw'; readonly reason: string };

export type Propose = { readonly action: 'propose'; readonly reason: string } & (
  | { readonly what: 'post'; readonly entries: readonly ProposedEntry[] }
  | { readonly what: 'match'; readonly candidates: readonly string[] }
  | { readonly what: 'write_off' }
);

/** A row of a report, as far as a match needs it. */
export interface ReportedRow {
  readonly source: string;
  readonly identity: string;
  readonly reconciliation_id: string;
  readonly line: string;
  readonly is_matched: boolean;
}

/** Of an item: whether a match has it, and the open breaks that hold it. */
export interface ItemState {
  readonly is_matched: boolean;
  readonly holders: readonly BreakRow[];
}

export type KnownToBreaks =
  | { readonly break: BreakRow; readonly row: ReportedRow | null }
  | { readonly isValidKey: boolean }
  | ItemState;

export type BreakWrite =
  | { readonly table: 'breaks'; readonly row: BreakRow }
  | { readonly table: 'report_rows'; readonly merchantId: bigint; readonly row: ReportedRow }
  | {
      readonly table: 'reconciled_items';
      readonly row: { merchant_id: string; item: string; match_reconciliation_id: string; match_line: string };
    };

export type BreakTurn = GroupTurn<KnownToBreaks, BreakWrite>;

export const breakKey = (id: bigint | string): string => `break ${id}`;
export const operatorKey = (id: bigint): string => `operator key ${id}`;
export const itemKey = (item: string): string => `item ${item}`;
