import pg from 'pg';
import { connectionOptions } from './postgres.js';

/**
 * The machine behind `npm run verify`: runs the checks that rooms bring and names the rows that disagree. Reads only; needs no more rights than the service
 * has, because it goes from merchant to merchant with the tenant setting. Each merchant is read in one snapshot, so a
 * service may run meanwhile. PostgreSQL does the sums within its work_mem and answers counts and a few offenders, and rows that are
 * examined here come by the page: memory does not grow with the ledger.
 */

export interface CheckResult {
  name: string;
  /** Rows that the check looked at, all merchants together. */
  counted: bigint;
  /** What disagrees, at most OFFENDERS_SHOWN of each merchant and of all. */
  offenders: string[];
}

/** One check on one merchant. SQL parameters: $1 merchant, in `find` $2 how many offenders at most. */
export interface Check {
  name: string;
  /** One row, one column: how many rows are looked at. */
  count: string;
  /** One text column: what disagrees. Without it the check only counts. */
  find?: string;
  /** What disagrees with code rather than with other rows. */
  examine?: { rows: string; offender(row: Record<string, unknown>): string | undefined };
}

const OFFENDERS_SHOWN = 20;
const EXAMINED_PAGE = 100;
const MERCHANT_PAGE = 500;
const CONNECT_TIMEOUT_MS = 5_000;

/** Checks every merchant of the database. `url` may be the owner's or the runtime role's. Capabilities above bring checks of their own. */
export async function verify(url: string, checks: readonly Check[]): Promise<CheckResult[]> {
  const client = new pg.Client({
    ...connectionOptions(url, 'counterfoil-verify'),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  await client.connect();
  try {
    const results = checks.map(({ name }): CheckResult => ({ name, counted: 0n, offenders: [] }));
    let merchants = 0n;
    for await (const merchantId of merchantIds(client)) {
      merchants += 1n;
      await checkMerchant(client, merchantId, checks, results);
    }
    return [{ name: 'merchants', counted: merchants, offenders: [] }, ...results];
  } finally {
    await client.end();
  }
}

async function* merchantIds(client: pg.Client): AsyncGenerator<bigint> {
  for (let after = 0n; ; ) {
    const page = await inSnapshot(client, { name: 'counterfoil.platform', value: 'on' }, () =>
      client.query<{ id: bigint }>('SELECT id FROM merchants WHERE id > $1 ORDER BY id LIMIT $2', [
        after,
        MERCHANT_PAGE,
      ]),
    );
    for (const { id } of page.rows) yield id;
    const last = page.rows.at(-1);
    if (!last) return;
    after = last.id;
  }
}

async function checkMerchant(
  client: pg.Client,
  merchantId: bigint,
  checks: readonly Check[],
  results: CheckResult[],
): Promise<void> {
  await inSnapshot(client, { name: 'counterfoil.merchant_ids', value: `{${merchantId}}` }, async () => {
    for (const [index, check] of checks.entries()) {
      const result = results[index] as CheckResult;
      const count = { name: `count ${index}`, text: check.count };
      const [[counted]] = (await rowsOf(client, count, [merchantId])) as [[bigint | string]];
      result.counted += BigInt(counted);
      const room = OFFENDERS_SHOWN - result.offenders.length;
      if (room === 0) continue;
      const find = check.find && { name: `find ${index}`, text: check.find };
      const found = find ? await rowsOf(client, find, [merchantId, room]) : [];
      if (check.examine) found.push(...(await examined(client, check.examine, merchantId, room)));
      result.offenders.push(...found.map(([offender]) => `merchant ${merchantId}: ${offender}`));
    }
  });
}

async function examined(
  client: pg.Client,
  { rows, offender }: NonNullable<Check['examine']>,
  merchantId: bigint,
  room: number,
): Promise<[string][]> {
  const found: [string][] = [];
  await client.query({ text: `DECLARE examined CURSOR FOR ${rows}`, values: [merchantId] });
  for (let page = EXAMINED_PAGE; page === EXAMINED_PAGE && found.length < room; ) {
    const fetched = await client.query<Record<string, unknown>>(`FETCH ${EXAMINED_PAGE} FROM examined`);
    const told = fetched.rows.map(offender).filter((one) => one !== undefined);
    found.push(...told.map((one): [string] => [one]));
    page = fetched.rows.length;
  }
  await client.query('CLOSE examined');
  return found.slice(0, room);
}

/** Prepared once a connection: to parse and plan the checks takes longer than to run them on a small merchant. */
async function rowsOf(
  client: pg.Client,
  statement: { name: string; text: string },
  values: unknown[],
): Promise<unknown[][]> {
  const { rows } = await client.query({ ...statement, values, rowMode: 'array' });
  return rows;
}

/** Hash joins throughout: a nested loop chosen on tables that were never analysed would be quadratic. */
async function inSnapshot<T>(
  client: pg.Client,
  setting: { name: string; value: string },
  read: () => Promise<T>,
): Promise<T> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    await client.query(`SELECT set_config($1, $2, true), set_config('enable_nestloop', 'off', true)`, [
      setting.name,
      setting.value,
    ]);
    return await read();
  } finally {
    await client.query('ROLLBACK');
  }
}
