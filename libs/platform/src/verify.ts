import pg from 'pg';
import { connectionOptions, type TransactionClient } from './postgres.js';

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
      await addMerchant(client, merchantId, checks, results);
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

async function addMerchant(
  client: pg.Client,
  merchantId: bigint,
  checks: readonly Check[],
  results: CheckResult[],
): Promise<void> {
  await inSnapshot(client, { name: 'counterfoil.merchant_ids', value: `{${merchantId}}` }, async () => {
    const room = (at: number) => OFFENDERS_SHOWN - (results[at]?.offenders.length ?? 0);
    const checked = await checkMerchant(client, merchantId, checks, room);
    for (const [at, { counted, offenders }] of checked.entries()) {
      const result = results[at] as CheckResult;
      result.counted += counted;
      result.offenders.push(...offenders.map((offender) => `merchant ${merchantId}: ${offender}`));
    }
  });
}

/**
 * What the checks find of one merchant, in the caller's transaction: a snapshot in the merchant's scope, or they disagree with each other.
 * `room`: offenders of a check at most. Statements are prepared by their place among the checks: a connection is for the same ones always.
 */
export async function checkMerchant(
  client: TransactionClient,
  merchantId: bigint,
  checks: readonly Check[],
  room: (at: number) => number,
): Promise<CheckResult[]> {
  // Hash joins throughout: a nested loop chosen on tables that were never analysed would be quadratic.
  await client.query({ text: 'SET LOCAL enable_nestloop = off' });
  const results: CheckResult[] = [];
  for (const [at, check] of checks.entries()) {
    const [counted] = await valuesOf(client, { name: `count ${at}`, text: check.count }, [merchantId]);
    const offenders = room(at) > 0 ? await offendersOf(client, { ...check, at }, merchantId, room(at)) : [];
    results.push({ name: check.name, counted: BigInt(counted as bigint | string), offenders });
  }
  return results;
}

async function offendersOf(
  client: TransactionClient,
  { at, find, examine }: Check & { at: number },
  merchantId: bigint,
  room: number,
): Promise<string[]> {
  const found = find ? await valuesOf(client, { name: `find ${at}`, text: find }, [merchantId, room]) : [];
  const examinedToo = examine ? await examined(client, examine, merchantId, room) : [];
  return [...(found as string[]), ...examinedToo];
}

async function examined(
  client: TransactionClient,
  { rows, offender }: NonNullable<Check['examine']>,
  merchantId: bigint,
  room: number,
): Promise<string[]> {
  const found: string[] = [];
  await client.query({ text: `DECLARE examined CURSOR FOR ${rows}`, values: [merchantId] });
  for (let page = EXAMINED_PAGE; page === EXAMINED_PAGE && found.length < room; ) {
    const fetched = await client.query<Record<string, unknown>>({ text: `FETCH ${EXAMINED_PAGE} FROM examined` });
    found.push(...fetched.rows.map(offender).filter((one) => one !== undefined));
    page = fetched.rows.length;
  }
  await client.query({ text: 'CLOSE examined' });
  return found.slice(0, room);
}

/** The one column. Prepared once a connection: to parse and plan the checks takes longer than to run them on a small merchant. */
async function valuesOf(
  client: TransactionClient,
  statement: { name: string; text: string },
  values: unknown[],
): Promise<unknown[]> {
  const { rows } = await client.query<Record<string, unknown>>({ ...statement, values });
  return rows.map((row) => Object.values(row)[0]);
}

async function inSnapshot<T>(
  client: pg.Client,
  setting: { name: string; value: string },
  read: () => Promise<T>,
): Promise<T> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    await client.query('SELECT set_config($1, $2, true)', [setting.name, setting.value]);
    return await read();
  } finally {
    await client.query('ROLLBACK');
  }
}
