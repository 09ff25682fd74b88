import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Refused } from '../posting/command.js';
import { refuse } from '../posting/entries.js';
import type { Answer, GroupExtension, GroupTurn } from '../writing/group-extension.js';
import { type Balance, isEmpty } from './account.js';

/** Closes an empty account, or opens it again. */
export interface StatusChange {
  kind: 'close' | 'reopen';
  accountId: bigint;
}

/** Everything else about an account never changes, and can be shown from its row. */
const DONE: Answer = { status: 200, response: '{}' };

/** The status of accounts, decided behind the lock of the balance that it depends on. */
export const ACCOUNT_STATUS: GroupExtension<StatusChange> = {
  name: 'account status',
  decide(change: StatusChange, turn: GroupTurn): Answer | Refused {
    const { kind, accountId } = change;
    const balance = turn.balance(accountId);
    const refused = refusedChange(balance, change);
    if (refused || !balance) return refused ?? DONE;
    const closed = kind === 'close';
    // Of an account that is open nothing changes: reopening twice is reopening once.
    if (closed === balance.closed) return DONE;
    turn.setClosed(accountId, closed);
    const type = closed ? 'account.closed' : 'account.reopened';
    const occurredAtMs = snowflakeTimeMs(turn.nextId(balance.lastTransactionId));
    turn.emit({ type, data: { account_id: String(accountId) }, occurredAtMs });
    return DONE;
  },
};

/** Why it cannot be done. */
export function refusedChange(balance: Balance | undefined, { kind, accountId }: StatusChange): Refused | undefined {
  if (!balance) return refuse('not_found', 'There is no such account.');
  if (kind === 'reopen') return undefined;
  if (balance.closed) return refuse('invalid_transition', `Account ${accountId} is already closed.`);
  if (isEmpty(balance)) return undefined;
  return refuse(
    'invalid_transition',
    `Account ${accountId} is not empty: only an account without balance or holds closes.`,
  );
}
