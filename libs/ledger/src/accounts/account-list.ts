import type { Database, SearchBounds } from '#platform/postgres.js';
import { conditions, type Found, type Search } from '#platform/search.js';
import { ACCOUNT, type AccountRecord, type AccountRow, toAccountRecord, WITH_BALANCE } from './account-store.js';

export interface AccountPage {
  codePrefix: string | undefined;
  currency: string | undefined;
  beforeId: bigint | undefined;
  limit: number;
}

/** Newest first, below `beforeId`. */
export async function listAccounts(
  database: Database,
  bounds: SearchBounds,
  page: AccountPage,
): Promise<Found<AccountRecord>> {
  const isRare = page.codePrefix !== undefined && (await isRarePrefix(database, bounds, page.codePrefix));
  const search = accountSearch(bounds.merchantId, page, isRare);
  const found = await database.search(bounds, search, (row: AccountRow) => row.id);
  return { ...found, rows: found.rows.map(toAccountRecord) };
}

/** A range of the code index (its collation is C). Looked at in no order: half of what the request may look at is for this. */
const COUNT = `
SELECT count(*)::int AS many FROM (SELECT FROM accounts WHERE merchant_id = $1 AND code ^@ $2 LIMIT $3) c`;

/** Whether so few codes begin so that all of them can be found and sorted. Where many do, some are found soon along the ids. */
async function isRarePrefix(
  database: Database,
  { merchantId, deadline, cost }: SearchBounds,
  prefix: string,
): Promise<boolean> {
  const few = Math.floor(cost.mayLookAt / 2);
  const [row] = await database.read<{ many: number }>({ merchantIds: [merchantId] }, deadline, {
    text: COUNT,
    values: [merchantId, prefix, few],
  });
  const many = row?.many ?? 0;
  cost.addSearch(many, 0);
  return many < few;
}

function accountSearch(merchantId: bigint, page: AccountPage, isRare: boolean): Search {
  const { codePrefix, currency, beforeId, limit } = page;
  const values: unknown[] = [merchantId];
  const within = conditions(values, [['id <', beforeId]]);
  const [begins] = conditions(values, [['code ^@', codePrefix]]);
  const tests = conditions(values, [['a.currency =', currency]]);
  if (begins && isRare) within.push(`id = ANY (ARRAY(SELECT id FROM accounts WHERE merchant_id = $1 AND ${begins}))`);
  else if (begins) tests.push(begins);
  const walk = `SELECT * FROM accounts WHERE ${['merchant_id = $1', ...within].join(' AND ')}`;
  return { columns: ACCOUNT, walk, as: 'a', join: WITH_BALANCE, tests, order: ['id'], values, limit };
}
