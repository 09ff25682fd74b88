import type { Json, Merchant } from './api.js';

interface Sums {
  debits: bigint;
  credits: bigint;
}

interface Account {
  normalSide: 'debit' | 'credit';
  posted: Sums;
  pending: Sums;
  version: bigint;
}

/** What a client makes of a merchant's log alone: the balance of every account. Throws where the log has a gap or goes back. */
export class LedgerFold {
  readonly accounts = new Map<string, Account>();

  apply({ type, data }: Json): void {
    if (type === 'account.created') {
      const nothing = () => ({ debits: 0n, credits: 0n });
      this.accounts.set(data.account_id, {
        normalSide: data.normal_side,
        posted: nothing(),
        pending: nothing(),
        version: 0n,
      });
    }
    if (!type.startsWith('transaction.')) return;
    for (const entry of data.entries) {
      const account = this.accounts.get(entry.account_id);
      if (!account) throw new Error(`an entry of account ${entry.account_id}, which nobody has opened`);
      if (BigInt(entry.account_version) !== account.version + 1n)
        throw new Error(`account ${entry.account_id}: version ${entry.account_version} after ${account.version}`);
      account.version += 1n;
      const side = entry.direction === 'debit' ? 'debits' : 'credits';
      account.posted[side] += BigInt(entry.posted);
      account.pending[side] += BigInt(entry.pending);
    }
  }

  /** As the API tells them. */
  balances(): Record<string, object> {
    return Object.fromEntries(
      [...this.accounts].map(([id, { normalSide, posted, pending, version }]) => [
        id,
        { posted: told(normalSide, posted), pending: told(normalSide, pending), version: String(version) },
      ]),
    );
  }
}

function told(side: 'debit' | 'credit', { debits, credits }: Sums): object {
  const amount = side === 'debit' ? debits - credits : credits - debits;
  return { debits: String(debits), credits: String(credits), amount: String(amount) };
}

/** The same from the database. */
export async function balancesOf(merchant: Merchant): Promise<Record<string, object>> {
  const { data } = (await merchant.client.get('/v1/accounts?limit=1000')).body;
  const read = async (id: string): Promise<[string, object]> => {
    const { posted, pending, version } = (await merchant.client.get(`/v1/accounts/${id}/balance?consistency=strong`))
      .body;
    return [id, { posted, pending, version }];
  };
  return Object.fromEntries(await Promise.all(data.map(({ id }: Json) => read(id))));
}
