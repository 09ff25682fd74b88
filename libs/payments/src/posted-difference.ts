import type { Accepted, Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import { type AdjustmentEntry, differenceOf, type OnAccounts } from './accounts.js';
import type { Addition, PaymentTurn } from './addition.js';
import type { Position } from './position.js';

/** The submission does not name all accounts that its facts, and those that they free, move money on. */
export class NeedsAccounts extends Error {
  override name = 'NeedsAccounts';
  constructor(readonly currencies: readonly string[]) {
    super(`needs all accounts in ${currencies.join(', ')}`);
  }
}

/**
 * Posts all that two positions differ by as one transaction, which takes effect when the last fact added happened, and if it takes
 * something back not before what it undoes. Undefined: nothing differs. Throws NeedsAccounts.
 */
export function postDifference(
  { known, added, attributes, accounts }: Addition,
  [before, after]: readonly [Position, Position],
  paymentId: bigint | undefined,
  turn: PaymentTurn,
): Accepted | Refused | undefined {
  const entries = differenceOf(before, after);
  if (entries.length === 0) return undefined;
  const missing = entries.filter((entry) => !accounts.idOf.has(codeOf(entry))).map(({ currency }) => currency);
  const lacking = missing.find((currency) => accounts.lacking.has(currency));
  if (lacking) return refuse('currency_mismatch', `The merchant has no accounts in ${lacking}.`);
  if (missing.length > 0) throw new NeedsAccounts([...new Set(missing)]);
  const { occurredAtMs, type } = added.at(-1)?.fact ?? nothingAdded();
  const untilMs = known.row?.effective_until ? Date.parse(known.row.effective_until) : occurredAtMs;
  return turn.post({
    kind: 'adjust',
    type: `payment.${type}`,
    externalRef: known.row?.provider_ref ?? attributes.provider_ref ?? undefined,
    effectiveAtMs: takesBack(entries, before.accounts) ? Math.max(occurredAtMs, untilMs) : occurredAtMs,
    metadata: JSON.stringify({ payment_id: String(paymentId) }),
    entries: entries.map(({ account, currency, ...entry }) => ({
      ...entry,
      currency,
      accountId: accounts.idOf.get(codeOf({ account, currency })) as bigint,
    })),
  });
}

function nothingAdded(): never {
  throw new Error('a payment that changes without a fact');
}

function codeOf({ account, currency }: Pick<AdjustmentEntry, 'account' | 'currency'>): string {
  return `${account}:${currency}`;
}

/** Whether some of what the payment has on an account goes: it cannot go before it came. */
function takesBack(entries: readonly AdjustmentEntry[], had: OnAccounts): boolean {
  return entries.some(({ account, direction, posted, pending }) => {
    if (pending < 0n) return true;
    return posted > 0n && (direction === 'debit' ? had[account].posted < 0n : had[account].posted > 0n);
  });
}
