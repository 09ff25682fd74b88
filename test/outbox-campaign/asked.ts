import type pg from 'pg';
import type { Sums } from '../histories/history.js';
import { addsTo, type Effect } from '../histories/oracle.js';

const BALANCES = `
SELECT account_id::text AS account, concat_ws('/', posted_debits, posted_credits, pending_debits, pending_credits) AS sums
  FROM balances WHERE account_id = ANY ($1::bigint[])`;

/** What accounts should have by what was asked for: every request is repeated until it is answered. */
export class AskedBook {
  readonly #sums = new Map<string, Sums>();

  add(effect: Effect): void {
    for (const account of [effect.from, effect.to]) {
      const [pd, pc, hd, hc] = this.#sums.get(account) ?? [0n, 0n, 0n, 0n];
      const [a, b, c, d] = addsTo(account, effect);
      this.#sums.set(account, [pd + a, pc + b, hd + c, hc + d]);
    }
  }

  /** Accounts that have something else. */
  async offences(owner: pg.Client): Promise<string[]> {
    const { rows } = await owner.query<{ account: string; sums: string }>(BALANCES, [[...this.#sums.keys()]]);
    const found = new Map(rows.map(({ account, sums }) => [account, sums]));
    return [...this.#sums].flatMap(([account, sums]) => {
      const should = sums.join('/');
      const has = found.get(account);
      return has === should ? [] : [`account ${account} should have ${should}, and has ${has}`];
    });
  }
}
