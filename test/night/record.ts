import type pg from 'pg';
import type { Json } from '../payments/client.js';
import type { LivedQuarter } from './lived.js';
import type { Shop } from './open-shops.js';
import type { Posted } from './oracle.js';
import type { Move, Story } from './stories.js';

/**
 * What was posted on merchant_payable, as the ledger has it; of what kind it is, the stories say, and who asked for it: nothing that the
 * service wrote down of kinds is looked at.
 */

interface Entry {
  readonly currency: string;
  readonly version: number;
  readonly transaction: string;
  readonly amount: bigint;
  readonly atMs: number;
}

export interface Recorded {
  readonly posted: readonly Posted[];
  /** By transaction: what fees took. */
  readonly fees: ReadonlyMap<string, bigint>;
  readonly offences: readonly string[];
}

const ENTRIES = `
SELECT a.currency, e.account_version::int AS version, e.transaction_id::text AS transaction,
       (-e.direction * e.posted_amount)::text AS amount, extract(epoch FROM e.effective_at)::numeric * 1000 AS at_ms
  FROM accounts a JOIN entries e ON e.merchant_id = a.merchant_id AND e.account_id = a.id
 WHERE a.merchant_id = $1 AND a.code = 'merchant_payable:' || a.currency AND e.posted_amount <> 0
 ORDER BY a.currency, e.account_version`;

const FACTS = `
SELECT event_id AS id, transaction_id::text AS transaction
  FROM payment_facts WHERE merchant_id = $1 AND outcome = 'applied' AND transaction_id IS NOT NULL`;

/** Whose transaction it is, and what it should have on merchant_payable. */
interface Claim {
  readonly payment?: string;
  readonly should: readonly (Pick<Posted, 'kind' | 'amount'> & { readonly fee?: bigint })[];
}

interface Sources {
  readonly stories: readonly Story[];
  readonly lived: LivedQuarter;
  readonly settlements: readonly Json[];
  readonly payouts: readonly Json[];
  readonly owner: pg.Client;
}

export async function recordOf(shop: Shop, sources: Sources): Promise<Recorded> {
  const { rows } = await sources.owner.query(ENTRIES, [shop.merchantId]);
  const entries = rows.map(
    ({ amount, at_ms, ...row }): Entry => ({ ...row, amount: BigInt(amount), atMs: Number(at_ms) }),
  );
  const claims = new Map([
    ...(await paymentClaims(shop, sources)),
    ...payoutClaims(
      sources.payouts,
      Map.groupBy(entries, ({ transaction }) => transaction),
    ),
  ]);
  const feesOf = new Set(sources.settlements.map(({ transaction_id }) => transaction_id));
  const fees = new Map<string, bigint>();
  const posted: Posted[] = [];
  const offences: string[] = [];
  for (const [transaction, all] of Map.groupBy(entries, ({ transaction }) => transaction)) {
    const claim = claims.get(transaction);
    if (claim) {
      const { found, wrong } = claimed(all, claim);
      posted.push(...found);
      if (wrong) offences.push(`${shop.plan.name}: transaction ${transaction} has ${wrong}`);
    } else if (sources.lived.byHand.has(transaction)) {
      posted.push(...all.map((entry): Posted => ({ ...entry, kind: 'other' })));
    } else if (feesOf.has(transaction)) {
      fees.set(
        transaction,
        all.reduce((sum, { amount }) => sum - amount, 0n),
      );
    } else offences.push(`${shop.plan.name}: nobody asked for transaction ${transaction}`);
  }
  for (const transaction of claims.keys())
    if (!entries.some((entry) => entry.transaction === transaction))
      offences.push(`nothing is posted by ${transaction}`);
  return { posted, fees, offences };
}

/** Each entry is one of those that should be there, told by its amount, and nothing is missing. */
function claimed(
  entries: readonly Entry[],
  { payment, should }: Claim,
): { found: Posted[]; wrong: string | undefined } {
  const left = [...should];
  const found = entries.flatMap((entry): Posted[] => {
    const at = left.findIndex(({ amount }) => amount === entry.amount);
    const [is] = at < 0 ? [] : left.splice(at, 1);
    return is ? [{ ...entry, ...is, ...(payment !== undefined && { payment }) }] : [];
  });
  const isRight = left.length === 0 && found.length === entries.length;
  const shown = (all: readonly { amount: bigint }[]): string => all.map(({ amount }) => amount).join(', ');
  return { found, wrong: isRight ? undefined : `${shown(entries)} and should have ${shown(should)}` };
}

/** What the facts that a transaction is of moved, by kind. */
async function paymentClaims({ merchantId }: Shop, { owner, stories, lived }: Sources): Promise<Map<string, Claim>> {
  const { rows } = await owner.query<{ id: string; transaction: string }>(FACTS, [merchantId]);
  const transactionOf = new Map(rows.map(({ id, transaction }) => [id, transaction]));
  const claims = new Map<string, Claim>();
  for (const { ref, happenings } of stories) {
    const payment = lived.paymentIds.get(ref) as string;
    const moves = happenings.flatMap(({ fact, move }) => {
      const transaction = transactionOf.get(fact.id);
      return move ? [{ transaction: transaction ?? `none of fact ${fact.id}`, move }] : [];
    });
    for (const [transaction, all] of Map.groupBy(moves, (one) => one.transaction))
      claims.set(transaction, { payment, should: byKind(all.map(({ move }) => move)) });
  }
  return claims;
}

function byKind(moves: readonly Move[]): Move[] {
  const kinds = Map.groupBy(moves, ({ kind }) => kind);
  return [...kinds]
    .map(([kind, all]) => ({ kind, amount: all.reduce((sum, { amount }) => sum + amount, 0n) }))
    .filter(({ amount }) => amount !== 0n);
}

/** What is out is out from its reservation on, until it failed or came back; its fee is given back when it failed. */
function payoutClaims(payouts: readonly Json[], entries: ReadonlyMap<string, unknown>): Map<string, Claim> {
  const claims = new Map<string, Claim>();
  for (const { id, amount, fee, timeline, transactions } of payouts) {
    const moving = transactions.filter((transaction: string) => entries.has(transaction));
    const should: Claim['should'][number][] = [];
    let [out, charged] = [0n, 0n];
    for (const { status } of timeline) {
      const now = ['failed', 'returned', 'requested'].includes(status) ? 0n : -BigInt(amount);
      const fees = ['failed', 'requested'].includes(status) ? 0n : BigInt(fee);
      if (now !== out) should.push({ kind: 'payout', amount: now - out, fee: fees - charged });
      [out, charged] = [now, fees];
    }
    for (const [index, transaction] of moving.entries()) {
      const one = should[index];
      claims.set(transaction, { payment: id, should: one ? [one] : [] });
    }
    if (should.length > moving.length) claims.set(`none of payout ${id}`, { should });
  }
  return claims;
}
