import type { Accepted, Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import { type AdjustmentEntry, differenceOf, type Holdings } from './accounts.js';
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
 * something back not before what it undoes. What it posts on merchant_payable has its items. Undefined: nothing differs.
 * Throws NeedsAccounts.
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
  const posted = turn.post({
    kind: 'adjust',
    type: `payment.${type}`,
    externalRef: known.row?.provider_ref ?? attributes.provider_ref ?? undefined,
    effectiveAtMs: takesBack(entries, before) ? Math.max(occurredAtMs, untilMs) : occurredAtMs,
    metadata: JSON.stringify({ payment_id: String(paymentId) }),
    entries: entries.map(({ account, kind, currency, ...entry }) => ({
      ...entry,
      currency,
      accountId: accounts.idOf.get(codeOf({ account, currency })) as bigint,
    })),
  });
  if (posted.accepted) writeItems(entries, posted, paymentId, turn);
  return posted;
}

function nothingAdded(): never {
  throw new Error('a payment that changes without a fact');
}

/** The entries of the transaction are those that were asked for, in their order. */
function writeItems(
  entries: readonly AdjustmentEntry[],
  { transaction }: Accepted,
  paymentId: bigint | undefined,
  turn: PaymentTurn,
): void {
  for (const [index, { accountId, accountVersion }] of transaction.entries.entries()) {
    const kind = entries[index]?.kind;
    if (kind === undefined) continue;
    const row = {
      merchant_id: String(turn.merchantId),
      account_id: String(accountId),
      account_version: String(accountVersion),
      kind,
      subject_id: String(paymentId),
      fee: null,
    };
    turn.write({ table: 'payable_items', row });
  }
}

function codeOf({ account, currency }: Pick<AdjustmentEntry, 'account' | 'currency'>): string {
  return `${account}:${currency}`;
}

/** Whether some of what the payment has on an account, or there of a kind, goes: it cannot go before it came. */
function takesBack(entries: readonly AdjustmentEntry[], { accounts, payable }: Holdings): boolean {
  const sums = new Map<string, bigint>();
  for (const entry of entries) sums.set(codeOf(entry), (sums.get(codeOf(entry)) ?? 0n) + movedBy(entry));
  return entries.some((entry) => {
    const { account, kind, pending } = entry;
    if (pending < 0n || (kind && isAgainst(movedBy(entry), payable[kind]))) return true;
    return isAgainst(sums.get(codeOf(entry)) ?? 0n, accounts[account].posted);
  });
}

/** Debits count up. */
function movedBy({ direction, posted }: AdjustmentEntry): bigint {
  return direction === 'debit' ? posted : -posted;
}

function isAgainst(moved: bigint, had: bigint): boolean {
  return moved > 0n ? had < 0n : moved < 0n && had > 0n;
}
