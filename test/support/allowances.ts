import type { Decision } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import type { GroupExtension, GroupTurn } from '#ledger/writing/group-extension.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import { asAdmin, type TestDatabase } from './database.js';

/** An extension for the tests: what a name may spend in all, one row for each spending. */

export interface Spending {
  name: string;
  from: bigint;
  to: bigint;
  amount: bigint;
  /** Nothing is posted: a row alone. */
  only?: 'row';
  /** When the name, as a subject, is due; null: not any more. */
  dueAtMs?: number | null;
  fault?: 'throws' | 'unposted' | 'unanswered' | 'poison' | 'taken' | 'cut' | 'cut once';
}

interface SpendingRow extends Spending {
  merchantId: bigint;
  spent: bigint;
  transactionId: bigint | null;
}

export const ALLOWANCE = 100n;

const TABLES = `
CREATE SEQUENCE cuts;
GRANT USAGE ON SEQUENCE cuts TO counterfoil_runtime;
CREATE TABLE spendings (
  merchant_id bigint NOT NULL REFERENCES merchants, name text NOT NULL, spent bigint NOT NULL CHECK (spent > 0), transaction_id bigint,
  fault text CHECK (fault <> 'poison'), PRIMARY KEY (merchant_id, name, spent));
ALTER TABLE spendings ENABLE ROW LEVEL SECURITY;
ALTER TABLE spendings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON spendings
  USING (merchant_id = ANY ((SELECT nullif(current_setting('counterfoil.merchant_ids', true), ''))::bigint[]));
GRANT SELECT, INSERT ON spendings TO counterfoil_runtime;`;

export async function createAllowances(on: TestDatabase): Promise<void> {
  await asAdmin(on.ownerUrl, (client) => client.query(TABLES));
}

export const ALLOWANCES: GroupExtension<Spending, bigint, SpendingRow> = {
  name: 'allowances',
  lookUp: {
    text: `SELECT k.merchant_id, k.name, s.spent FROM unnest($1::bigint[], $2::text[]) AS k (merchant_id, name)
  CROSS JOIN LATERAL (SELECT spent FROM spendings WHERE merchant_id = k.merchant_id AND name = k.name ORDER BY spent DESC LIMIT 1) s`,
    values: (asked) => [int8Array(asked.map((a) => a.merchantId)), textArray(asked.map((a) => a.part.name))],
    known: (row) => ({ merchantId: row.merchant_id as bigint, key: row.name as string, value: row.spent as bigint }),
  },
  decide(spending: Spending, turn: GroupTurn<bigint, SpendingRow>) {
    const { name, amount, fault } = spending;
    const spent = (turn.known(name) ?? 0n) + amount;
    const paid = spending.only === 'row' ? undefined : pay(spending, turn);
    if (paid && !paid.accepted) return paid;
    const transactionId = paid?.transaction.id ?? null;
    turn.learn(name, spent);
    turn.write({ ...spending, merchantId: turn.merchantId, spent: fault === 'taken' ? amount : spent, transactionId });
    if (spending.dueAtMs !== undefined) turn.setTimer(name, spending.from, spending.dueAtMs ?? undefined);
    if (paid) turn.emit({ type: 'webhook_endpoint.deleted', data: { endpoint_id: '1' }, occurredAtMs: 0 });
    if (fault === 'throws') throw new Error('an extension that throws');
    if (spent > ALLOWANCE) return refuse('condition_failed', `${name} may spend ${ALLOWANCE} in all.`);
    return { status: 201, response: fault === 'unanswered' ? 'no JSON' : JSON.stringify({ spent: String(spent) }) };
  },
  write: {
    text: `INSERT INTO spendings (merchant_id, name, spent, transaction_id, fault)
  SELECT merchant_id, name, spent, transaction_id,
         CASE WHEN fault = 'cut' OR fault = 'cut once' AND nextval('cuts') = 1 THEN pg_terminate_backend(pg_backend_pid())::text ELSE fault END
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[]) AS s (merchant_id, name, spent, transaction_id, fault)`,
    values: (rows) => [
      int8Array(rows.map((row) => row.merchantId)),
      textArray(rows.map((row) => row.name)),
      int8Array(rows.map((row) => row.spent)),
      int8Array(rows.map((row) => row.transactionId)),
      textArray(rows.map((row) => row.fault)),
    ],
  },
};

function pay({ from, to, amount, fault }: Spending, turn: GroupTurn<bigint, SpendingRow>): Decision {
  const entry = { amount, currency: 'EUR' };
  return turn.post({
    kind: 'post',
    type: 'spending',
    pending: false,
    entries: [
      { ...entry, accountId: from, direction: 'debit' },
      { ...entry, accountId: to, direction: 'credit', amount: fault === 'unposted' ? amount + 1n : amount },
    ],
  });
}
