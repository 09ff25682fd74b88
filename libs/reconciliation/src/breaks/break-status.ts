import { refuse } from '#ledger/posting/entries.js';

/** What can be done about a break, by where it stands. The one place that knows. */

export const OPEN_STATUSES = ['open', 'assigned', 'proposed'] as const;
export const ENDED_STATUSES = ['resolved', 'auto_resolved', 'written_off'] as const;
export const BREAK_STATUSES = [...OPEN_STATUSES, ...ENDED_STATUSES] as const;
export type BreakStatus = (typeof BREAK_STATUSES)[number];

export const BREAK_ACTIONS = ['assign', 'comment', 'propose', 'approve', 'reject', 'withdraw'] as const;
export type BreakAction = (typeof BREAK_ACTIONS)[number];

/** Whatever its status is, it can be spoken of. */
const LEGAL: Readonly<Record<BreakAction, readonly BreakStatus[]>> = {
  assign: OPEN_STATUSES,
  comment: BREAK_STATUSES,
  propose: ['open', 'assigned'],
  approve: ['proposed'],
  reject: ['proposed'],
  withdraw: ['proposed'],
};

export function isLegal(action: BreakAction, status: BreakStatus): boolean {
  return LEGAL[action].includes(status);
}

/** Undefined: it may be done. */
export function illegal(action: BreakAction, status: BreakStatus): ReturnType<typeof refuse> | undefined {
  if (isLegal(action, status)) return undefined;
  const [last, ...others] = BREAK_ACTIONS.filter((other) => isLegal(other, status))
    .map(pastOf)
    .reverse();
  const legal = others.length === 0 ? last : `${others.reverse().join(', ')} or ${last}`;
  return refuse('invalid_transition', `The break is ${status}: it cannot be ${pastOf(action)}; it can be ${legal}.`);
}

function pastOf(action: BreakAction): string {
  if (action === 'comment') return 'commented';
  if (action === 'withdraw') return 'withdrawn';
  return action === 'propose' ? 'given a proposal' : `${action}${action.endsWith('e') ? 'd' : 'ed'}`;
}

/** Where one stands that nobody proposes anything for any more. */
export function unproposed(assignee: string | null): BreakStatus {
  return assignee === null ? 'open' : 'assigned';
}
